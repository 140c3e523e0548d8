"""sandbox: a server that sees everything read-only but what it needs, and that nothing can escape from."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from hostler import (
    CommandResult,
    EnvironmentSetupFailed,
    Launch,
    ServerSpec,
    ServerView,
    hookimpl,
    option,
    private_folder,
)

from hostler_plugins.sandbox.places import Access, Place, arrange, expanded, home_of, missing, mounts

_TOOL_PATH = "/usr/bin:/bin:/usr/local/bin"  # never the server's PATH: it may run with our privileges
_TMP = Path("/tmp")  # noqa: S108 - it is made private
_ENV = "/usr/bin/env"
_SETTINGS = "/proc/sys"
_ENDS = "TERM,INT,HUP,QUIT,USR1,USR2,WINCH"  # whatever stop_signal is
_DEADLINE = 20.0  # for what takes milliseconds, on a busy machine
_WHICH = 'n=0; for p; do test -e "$p" && echo $n; n=$((n+1)); done; :'
_NAMESPACES_NEEDED = (
    "bwrap needs namespaces: in a container allow them; elsewhere see the settings user.max_user_namespaces, "
    "kernel.unprivileged_userns_clone, kernel.apparmor_restrict_unprivileged_userns; or set sandbox = false"
)
_NAMESPACES = ("--unshare-pid", "--unshare-ipc", "--unshare-uts", "--unshare-cgroup-try")

# Keys, tokens, and sockets of those who do what they are told with more rights than a server has.
_HIDDEN = [
    "~/.ssh",
    "~/.gnupg",
    "~/.aws",
    "~/.azure",
    "~/.config/gcloud",
    "~/.config/gh",
    "~/.kube",
    "~/.docker",
    "~/.netrc",
    "~/.npmrc",
    "~/.pypirc",
    "~/.git-credentials",
    "~/.password-store",
    "~/.local/share/keyrings",
    "/run",
]
_OF_RUN = (  # names of other machines, and where one system has its programs
    "/run/systemd/resolve",
    "/run/resolvconf",
    "/run/NetworkManager/resolv.conf",
    "/run/nscd",
    "/run/current-system",
)


@dataclass(eq=False)
class Sandbox:
    """Runs a server under bubblewrap (Linux, the program bwrap).

    The server sees the whole system read-only. It may write to its working folder, to what its launcher
    says that it needs, and to a /tmp of its own, which is removed after it. It has no capabilities, and a
    pid namespace of its own: nothing that it starts outlives it, whatever it does, not even when hostler is
    killed. The network is that of the machine. Of two places that lie in each other the inner one counts.
    A signal that ends the server is told as an exit code above 128.
    """

    writable: list[str] = option([], "further folders that it may write to; made where they are missing")
    readable: list[str] = option([], "what it may read although a folder around it is hidden, or is /tmp")
    hidden: list[str] = option(_HIDDEN, "what it may not even see; replaces the default")
    cwd: Literal["writable", "read-only"] = option("writable", "what it may do in its working folder")
    bwrap: Path | None = option(None, "path of bwrap; default: in /usr/bin, /bin, /usr/local/bin")
    arguments: list[str] = option([], "further arguments of bwrap, which come last")

    _tried: bool = field(init=False, repr=False, default=False)

    def __post_init__(self) -> None:
        for name in ("writable", "readable", "hidden"):
            for path in getattr(self, name):
                if not path.startswith(("/", "~/", "$")) and path != "~":
                    raise ValueError(f'{name}: expected a path that starts with "/" or "~/", found {path!r}')

                if name != "readable" and path == "/":
                    raise ValueError(f"{name}: / is the whole system: nothing would be left of the sandbox")

    def check(self, spec: ServerSpec, launch: Launch) -> Iterator[str]:
        """What is missing on this machine, for `hostler check`."""
        self._program()
        self._refuse_root(launch)
        yield from ()

    @hookimpl(trylast=True)
    async def pre_spawn(self, server: ServerView, launch: Launch) -> None:
        """Put bwrap in front of the command, with what the other plugins said that the server needs."""
        program = self._program()
        self._refuse_root(launch)
        places = arrange(await self._places(server, launch))
        launch.wrapper = [*launch.wrapper, *self._command(program, launch, places)]
        await self._try(server, launch)

    def _program(self) -> str:
        if sys.platform != "linux":  # pragma: other-system
            raise EnvironmentSetupFailed(
                "the plugin sandbox works on Linux only",
                hint="switch it off: sandbox = false",
                permanent=True,
            )

        found = shutil.which(str(self.bwrap or "bwrap"), path=_TOOL_PATH)

        if found is None:
            raise EnvironmentSetupFailed(
                f"{self.bwrap or 'bubblewrap (bwrap)'} is not there, which the plugin sandbox needs",
                hint="install it (Debian, Fedora and others: the package bubblewrap), or set bwrap",
                permanent=True,
            )

        return found

    def _refuse_root(self, launch: Launch) -> None:
        if self.cwd == "writable" and os.path.realpath(launch.cwd) == "/":
            raise EnvironmentSetupFailed(
                "the working folder is /, so the sandbox would have the server write everywhere",
                hint='set cwd of the server, or sandbox = { cwd = "read-only" }',
                permanent=True,
            )

    async def _make_folders(self, server: ServerView, launch: Launch) -> list[Path]:
        """The folders that it may write to, which are there from now on; made as its user."""
        told = launch.facts.get("writable_paths", ())
        needed = [launch.cwd / path for path in told] if isinstance(told, list | tuple) else []
        folders = [*needed, *expanded(self.writable, home_of(launch.env))]

        if absent := missing(folders):
            result = await server.run_command(
                ["/bin/mkdir", "-p", "-m", "0700", "--", *absent], timeout=_DEADLINE, env={}
            )
            _refuse(result, "its folders cannot be made", "make them, or correct writable and user")

        return folders

    async def _try(self, server: ServerView, launch: Launch) -> None:
        """Build the sandbox once with nothing in it: what the kernel refuses is told better by us."""
        if not self._tried:
            result = await server.run_command([*launch.wrapper, "/bin/true"], timeout=_DEADLINE, env={})
            _refuse(result, "the kernel refuses a sandbox", _NAMESPACES_NEEDED)
            self._tried = True

    async def _places(self, server: ServerView, launch: Launch) -> list[Place]:
        homes = home_of(launch.env), home_of(launch.host_env)
        made, folders = _made_for_this_run(server, launch), await self._make_folders(server, launch)
        secret = [*expanded(self.hidden, *homes), server.state_dir]  # who can read a lock can hold it
        hidden = await _seen(secret, server, launch)
        return [
            Place(_TMP, Access.WRITE, _private_tmp(launch)),
            *(Place(path, Access.HIDDEN) for path in hidden),
            *(Place(Path(path), Access.READ) for path in _OF_RUN),
            Place(launch.cwd, Access.WRITE if self.cwd == "writable" else Access.READ),
            *(Place(path, Access.READ) for path in expanded(self.readable, *homes)),
            *(Place(path, Access.WRITE) for path in (*folders, *made)),
        ]

    def _command(self, program: str, launch: Launch, places: list[Place]) -> list[str]:
        # bwrap's own processes ignore what ends the server: it is the server that ends, and they with it.
        return [
            _ENV,
            f"--ignore-signal={_ENDS}",
            program,
            *_NAMESPACES,
            *_capabilities(launch),
            *("--new-session", "--die-with-parent"),
            *("--ro-bind", "/", "/", "--dev", "/dev", "--proc", "/proc"),
            *("--ro-bind", _SETTINGS, _SETTINGS),  # for root may write there, whatever its capabilities
            *mounts(places),
            *("--chdir", os.path.realpath(launch.cwd)),
            *self.arguments,
            "--",
            _ENV,
            f"--default-signal={_ENDS}",
        ]


def _capabilities(launch: Launch) -> list[str]:
    """Have bwrap drop what root may, in the place of the core: root needs it to build the sandbox."""
    kept = sorted(launch.capabilities or ())

    if os.geteuid() == 0 and launch.user in {None, "root", "0"}:
        launch.capabilities = None
        return [
            "--cap-drop",
            "ALL",
            *(word for name in kept for word in ("--cap-add", f"CAP_{name.upper()}")),
        ]

    if kept:
        raise EnvironmentSetupFailed(
            f"in a sandbox only root can keep capabilities: {', '.join(kept)}",
            hint="keep none (privileges = { capabilities = [] }), or take user or sandbox out",
            permanent=True,
        )

    return ["--cap-drop", "ALL"]


async def _seen(paths: list[Path], server: ServerView, launch: Launch) -> list[Path]:
    """Those of these paths that are there for the server's user: what it cannot see needs no hiding."""
    there = [path for path in paths if path.exists()]

    if launch.user is None and launch.group is None:
        return there

    argv = ["/bin/sh", "-c", _WHICH, "sh", *map(str, there)]
    result = await server.run_command(argv, timeout=_DEADLINE, env={})
    _refuse(result, "what is to be hidden cannot be looked up", "correct hidden")
    return [there[int(number)] for number in result.stdout.split()]


def _refuse(result: CommandResult, what: str, hint: str) -> None:
    """Raise EnvironmentSetupFailed unless a command was successful."""
    if result.code != 0:
        reason = result.last_line or "it took too long"
        raise EnvironmentSetupFailed(f"{what}: {reason}", hint=hint, permanent=True)


def _private_tmp(launch: Launch) -> Path:
    try:
        return private_folder(launch, "tmp")
    except OSError as error:
        raise EnvironmentSetupFailed(
            f"no temporary folder can be made for the sandbox: {error.strerror}", hint="make room in /tmp"
        ) from error


def _made_for_this_run(server: ServerView, launch: Launch) -> list[Path]:
    """What other plugins made for this run, and a TMPDIR that was configured; any other becomes /tmp."""
    made = list(launch.temporary)
    tmpdir = Path(launch.env.get("TMPDIR", _TMP))

    if "TMPDIR" in server.spec.env:
        return [*made, tmpdir]

    if not any(tmpdir == path or path in tmpdir.parents for path in made):
        launch.env["TMPDIR"] = str(_TMP)

    return made
