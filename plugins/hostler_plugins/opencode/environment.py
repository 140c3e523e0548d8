"""The environment of OpenCode: its variables, a private TMPDIR, and checks of its folders."""

from __future__ import annotations

import errno
import os
import pwd
from collections.abc import Container, Iterator, Mapping
from contextlib import suppress
from pathlib import Path

from hostler import EnvironmentSetupFailed, Launch, private_folder

# An update would replace the program of a running server. With NO_ORPHANS the server (from 1.15.13 on) dies
# with its parent: without it, it lives on under pid 1 when hostler is killed.
_ALWAYS = {"OPENCODE_DISABLE_AUTOUPDATE": "1", "BUN_FEATURE_FLAG_NO_ORPHANS": "1"}
# What OpenCode fetches at its start otherwise.
_OFFLINE = (
    "OPENCODE_DISABLE_MODELS_FETCH",
    "OPENCODE_DISABLE_DEFAULT_PLUGINS",
    "OPENCODE_DISABLE_LSP_DOWNLOAD",
)
_DROPPED = ("OPENCODE", "OPENCODE_PID", "AGENT")  # what a server sets for its own children
# Where each folder is while its variable is not set (XDG Base Directory Specification).
_USUAL = {
    "XDG_DATA_HOME": ".local/share",
    "XDG_CONFIG_HOME": ".config",
    "XDG_STATE_HOME": ".local/state",
    "XDG_CACHE_HOME": ".cache",
}
_LEAST_SPACE = 1 << 20


def set_variables(launch: Launch, configured: Container[str], *, client: str, offline: bool) -> None:
    """Set what OpenCode should know and drop what it should not; what was configured stays."""
    wanted = {**_ALWAYS, "OPENCODE_CLIENT": client} | dict.fromkeys(_OFFLINE if offline else (), "1")
    for name, value in wanted.items():
        launch.env.setdefault(name, value)
    for name in _DROPPED:
        if name not in configured:
            launch.env.pop(name, None)


def give_private_tmpdir(launch: Launch) -> None:
    """Point TMPDIR to a new folder (0700) that is removed with the run: OpenCode leaves megabytes there.

    Raises EnvironmentSetupFailed.
    """
    try:
        # Each start leaves 4 to 9 MB of .so files there, which nobody else removes.
        launch.env["TMPDIR"] = str(private_folder(launch, "oc"))
    except OSError as error:
        raise EnvironmentSetupFailed(
            f"no temporary folder can be made for OpenCode: {error.strerror}",
            hint="make room in /tmp, or set TMPDIR in env to a folder that can be written",
            permanent=error.errno not in {errno.ENOSPC, errno.EDQUOT},
        ) from error


def make_private(folder: Path) -> list[Path]:
    """Make a folder, and those above it, where they are missing, with mode 0700; returns those made."""
    missing = [one for one in (folder, *folder.parents) if not one.exists()]
    for one in reversed(missing):
        one.mkdir(mode=0o700, exist_ok=True)
        one.chmod(0o700)
    return missing[::-1]


def home_of(env: Mapping[str, str]) -> Path:
    """The home folder as OpenCode finds it; EnvironmentSetupFailed (permanent) where there is none."""
    try:
        return Path(env.get("HOME") or pwd.getpwuid(os.getuid()).pw_dir)
    except KeyError:
        raise EnvironmentSetupFailed(
            f"OpenCode has no home folder: HOME is not set, and user {os.getuid()} has no account",
            hint="set HOME in env of the server",
            permanent=True,
        ) from None


def own_folder(env: Mapping[str, str], variable: str) -> Path:
    """OpenCode's folder under one of the XDG variables, such as ~/.local/share/opencode."""
    base = env.get(variable)
    return (Path(base) if base else home_of(env) / _USUAL[variable]) / "opencode"


def check_folders(launch: Launch) -> None:
    """Look whether OpenCode will be able to write where it must.

    Raises EnvironmentSetupFailed: permanent without permission, not permanent on a full disk.
    """
    for variable, folder in folders(launch):
        there = next((place for place in (folder, *folder.parents) if _exists(place)), Path("/"))
        # Only for our own user: another one may write where we cannot, and the other way round.
        if launch.user is None and not (there.is_dir() and os.access(there, os.W_OK | os.X_OK)):
            raise EnvironmentSetupFailed(
                f"OpenCode needs to write to {folder}, and {there} cannot be written",
                hint=f"give the user permission, or set HOME or {variable} in env to a writable folder",
                details={"path": str(there)},
                permanent=True,
            )
        with suppress(OSError):
            space = os.statvfs(there)
            if space.f_bavail * space.f_frsize < _LEAST_SPACE:
                raise disk_full(f"the disk of {there} is full")


def disk_full(message: str) -> EnvironmentSetupFailed:
    """The error of a full disk; not permanent, for room may be made."""
    return EnvironmentSetupFailed(
        message,
        hint="free some space on the disk (OpenCode's data, logs and TMPDIR need some)",
        permanent=False,
    )


def folders(launch: Launch) -> Iterator[tuple[str, Path]]:
    """Where OpenCode writes beside the project, with the variable that each of them follows."""
    for variable in _USUAL:
        yield variable, launch.cwd / own_folder(launch.env, variable)


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except OSError:
        return False
