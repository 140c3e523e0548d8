"""The directories that hostler writes to: state (records, locks), data (logs) and cache."""

from __future__ import annotations

import os
import pwd
import stat
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Self

from hostler.errors import EnvironmentSetupFailed
from hostler.files.namespace import data_folder
from hostler.model.dataclass import dataclass
from hostler.process.disk.trusted_folder import Untrusted, trusted_folder, writable_folder
from hostler.process.shortage_hint import shortage_hint

# Below the home folder: state, data, cache.
_USUAL = (".local/state", ".local/share", ".cache")
_OF_MACOS = ("Library/Application Support", "Library/Application Support", "Library/Caches")


@dataclass(frozen=True, slots=True)
class Directories:
    """The three directories that hostler writes to; none of them is created before it is needed."""

    state: Path
    data: Path
    cache: Path

    @classmethod
    def default(cls, environ: Mapping[str, str] | None = None) -> Self:
        """The user's own: as XDG_STATE_HOME, XDG_DATA_HOME and XDG_CACHE_HOME say, else the usual places.

        EnvironmentSetupFailed when there is no home directory to put them in.
        """
        environ = os.environ if environ is None else environ
        kinds = ("STATE", "DATA", "CACHE")
        usual = _OF_MACOS if sys.platform == "darwin" else _USUAL
        state, data, cache = (
            _choose(environ.get(f"XDG_{kind}_HOME", ""), place)
            for kind, place in zip(kinds, usual, strict=True)
        )
        return cls(state, data, cache)

    def data_for(self, namespace: str) -> Path:
        """Where the outputs of one configuration go, under a name that people recognise; not created."""
        return self.data / data_folder(namespace)


def secure_directory(path: Path) -> Path:
    """Create `path` where it is missing, with mode 0700 whatever the umask, and return it absolute.

    EnvironmentSetupFailed when it cannot be created or written, when everybody can write to it, or when
    another user made or may change it, or a part of the way to it (as `trusted_folder` sees it).
    """
    path = path.absolute()
    with secure_folder(path):
        return path


class SecuredFolders:
    """Folders that `secure_directory` has found in order; as long as it is the same one, a look is enough."""

    def __init__(self) -> None:
        self._seen: dict[Path, tuple[int, ...]] = {}

    def secure(self, path: Path) -> Path:
        """Do as `secure_directory` does; every start waits for this."""
        seen = self._seen.get(path)
        if seen is None or seen != folder_identity(path):
            secure_directory(path)
            self._seen[path] = folder_identity(path)
        return path.absolute()


def folder_identity(path: Path, *, follow: bool = True) -> tuple[int, ...]:
    """Which folder it is and who may do what in it; nothing where it is missing."""
    with suppress(OSError):
        found = os.stat(path, follow_symlinks=follow)  # noqa: PTH116 - as above
        return found.st_dev, found.st_ino, found.st_mode, found.st_uid, found.st_gid
    return ()


@contextmanager
def secure_folder(path: Path) -> Iterator[int]:
    """Open what `secure_directory` creates; gives a descriptor as `trusted_folder` does, errors as there."""
    with ExitStack() as opened:
        try:
            folder = opened.enter_context(writable_folder(path))
        except OSError as error:
            raise _refusal(path, error) from error
        yield folder


def why_not_writable(path: Path) -> str:
    """Why nothing could be written below a folder or to a file, which may not exist yet; "" when it could."""
    for place in (path, *path.absolute().parents):
        try:
            is_folder = stat.S_ISDIR(place.stat().st_mode)
            if place != path and not is_folder:
                return f"{place} is not a directory"
            with trusted_folder(place if is_folder else place.parent):
                return "" if os.access(place, os.W_OK) else f"{place} may not be written by this user"
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError as error:
            return str(error.strerror) if isinstance(error, Untrusted) else f"{place}: {error.strerror}"
    return ""


def _choose(value: str, usual: str) -> Path:
    if Path(value).is_absolute():  # the XDG specification has relative values ignored
        return Path(value) / "hostler"
    if (home := _home()).is_absolute():
        return home / usual / "hostler"

    raise EnvironmentSetupFailed(
        "there is no home directory for state and logs",
        hint="set HOME, or XDG_STATE_HOME, XDG_DATA_HOME and XDG_CACHE_HOME",
    )


def _home() -> Path:
    if (home := Path(os.environ.get("HOME", ""))).is_absolute():
        return home
    with suppress(KeyError):
        return Path(pwd.getpwuid(os.getuid()).pw_dir)
    return home


def _refusal(path: Path, error: OSError) -> EnvironmentSetupFailed:
    where, why, repair = path, error.strerror or str(error), "repair it"

    if isinstance(error, Untrusted):
        where, why, repair = error.filename, error.reason, error.hint or repair

    otherwise = f"{repair}, or choose others with XDG_STATE_HOME, XDG_DATA_HOME and XDG_CACHE_HOME"
    return EnvironmentSetupFailed(
        f"the directory {where} cannot be used: {why}",
        hint=shortage_hint(error, otherwise),
        details={"path": str(where)},
        permanent=isinstance(error, Untrusted),
    )
