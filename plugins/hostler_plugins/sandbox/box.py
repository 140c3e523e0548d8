"""The sandbox of one run: what it shows of the machine, and the words of bwrap that build it."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from hostler import CommandResult, EnvironmentSetupFailed, Launch, ServerView, private_folder

from hostler_plugins.sandbox.mounts import Mounts, find_mounts
from hostler_plugins.sandbox.own_files import code_of_ours, settings_of_tools
from hostler_plugins.sandbox.paths import (
    Access,
    Place,
    arrange,
    expanded,
    home_of,
    may_write,
    missing,
    mounts,
    real_path,
    roots_of,
)
from hostler_plugins.sandbox.placeholders import command_to_make, placeholders
from hostler_plugins.sandbox.system_calls import MACHINES, without_user_namespaces

DEADLINE = 20.0  # for what takes milliseconds, on a busy machine

_TMP = Path("/tmp")  # noqa: S108 - it is made private
_ENV = "/usr/bin/env"
_SETTINGS = "/proc/sys"
_ENDS = "TERM,INT,HUP,QUIT,USR1,USR2,WINCH"  # whatever stop_signal is
_FILTERED = 'exec "$@" 9<"$0"'  # bwrap wants the filter in a descriptor
_WHICH = 'n=0; for p; do test -e "$p" && echo $n; n=$((n+1)); done; :'
# No network namespace: a server is there to be connected to.
_NAMESPACES = ("--unshare-pid", "--unshare-ipc", "--unshare-uts", "--unshare-cgroup-try")
_OF_RUN = (  # names of other machines, and where one system has its programs
    "/run/systemd/resolve",
    "/run/resolvconf",
    "/run/NetworkManager/resolv.conf",
    "/run/nscd",
    "/run/current-system",
)


@dataclass(frozen=True, slots=True)
class SandboxOptions:
    """What the options say, with bwrap where it was found."""

    program: str
    cwd_writable: bool
    writable: Sequence[str]
    readable: Sequence[str]
    hidden: Sequence[str]
    arguments: Sequence[str]


@dataclass(slots=True)
class Box:
    """One sandbox: built as often as something is run in it, with what is known of the run until then.

    `tmp` is its /tmp, with the folder around it that is removed after the run. `complete` tells that every
    plugin has said what the server needs. `mounts` are those of the server itself, once they
    are known.
    """

    server: ServerView
    launch: Launch
    wanted: SandboxOptions
    tmp: tuple[Path, Path] | None
    complete: bool = False
    mounts: Mounts | None = None
    _built: dict[Path, list[Place]] = field(default_factory=dict)

    async def enter(self, cwd: Path) -> tuple[list[str], frozenset[str] | None]:
        """See hostler.Confinement."""
        return self._command(cwd, await self._arranged(cwd)), self._capabilities()[1]

    def may_write(self, path: Path) -> bool:
        """See hostler.Confinement."""
        open_, real = self._open(self.launch.cwd), path.resolve()
        if may_write(path, [*self._settings(), *open_, *self._closed()]):
            return True
        inside = any(root in real.parents for root in roots_of(open_))
        mounts = self.find_mounts() if inside and real.exists() else None
        return mounts is not None and mounts.writable(real)

    def find_mounts(self) -> Mounts | None:
        """Those of the server itself, once it runs."""
        if self.mounts is None and self.complete:
            self.mounts = find_mounts(self.server.members(), self.wanted.program)
        return self.mounts

    def close(self) -> None:
        """Let go of the server's mounts."""
        if self.mounts is not None:
            self.mounts.close()

    def give_tmpdir(self) -> None:
        """Let TMPDIR be its /tmp, unless it was configured or made for this run."""
        tmpdir = Path(self.launch.env.get("TMPDIR", _TMP))
        made = any(tmpdir == path or path in tmpdir.parents for path in self._made())
        if "TMPDIR" not in self.server.spec.env and not made:
            self.launch.env["TMPDIR"] = str(_TMP)

    async def protected(self) -> list[Place]:
        """Everything that is mounted in the server's sandbox."""
        return await self._arranged(self.launch.cwd)

    async def kept_from_it(self) -> list[Path]:
        """What hostler reads or runs itself, and what would be the server's to change without its word."""
        roots = roots_of(self._open(self.launch.cwd))
        closed = {one.path for one in self._closed()}
        arranged = await self._arranged(self.launch.cwd)
        real = {path.resolve(): path for path in closed}
        return [
            real[one.path]
            for one in arranged
            if one.path in real and any(root in one.path.parents for root in roots)
        ]

    async def _arranged(self, cwd: Path) -> list[Place]:
        if cwd not in self._built or not self.complete:
            await self._make_folders()
            await self._make_placeholders(cwd)
            homes = home_of(self.launch.env), home_of(self.launch.host_env)
            # Who can read a lock can hold it.
            secret = [*expanded(self.wanted.hidden, *homes), self.server.state_dir]
            hidden = await self._seen(secret)
            self._built[cwd] = arrange(
                [
                    Place(_TMP, Access.WRITE, self._private_tmp()),
                    *_outside(hidden, self._settings()),
                    *(Place(path, Access.HIDDEN, fixed=True) for path in hidden),
                    *(Place(Path(path), Access.READ) for path in _OF_RUN),
                    *self._open(cwd),
                    *self._closed(),
                    *_outside(hidden, self._outputs()),
                ]
            )

        return self._built[cwd]

    def _open(self, cwd: Path) -> list[Place]:
        """What it may write to, and read although a folder around it is hidden."""
        homes = home_of(self.launch.env), home_of(self.launch.host_env)
        made = self._made()
        configured = [Path(self.launch.env["TMPDIR"])] if "TMPDIR" in self.server.spec.env else []
        return [
            *self._working_folders(cwd, made),
            *(Place(path, Access.READ) for path in expanded(self.wanted.readable, *homes)),
            *(Place(path, Access.WRITE) for path in (*self._folders(), *made, *configured)),
        ]

    def _working_folders(self, cwd: Path, made: Sequence[Path]) -> Iterator[Place]:
        access = Access.WRITE if self.wanted.cwd_writable else Access.READ
        yield Place(self.launch.cwd, access)
        if cwd not in {self.launch.cwd, Path("/")} and not any(path in (cwd, *cwd.parents) for path in made):
            yield Place(cwd, access)

    def _closed(self) -> Iterator[Place]:
        """What hostler reads or runs at the next start or reload, with its own rights."""
        launch, there = self.launch, (self.server.cache_dir, self.server.data_dir)
        roots = roots_of(self._open(launch.cwd))
        found: set[Path] = set()

        for path in (*launch.inputs, *there, *code_of_ours(roots)):
            places = {Path(os.path.abspath(path)), Path(os.path.realpath(path))}  # noqa: PTH100
            inside = any(root in place.parents for root in roots for place in places)
            if inside and found.isdisjoint([path, *path.parents]):
                found.add(path)
                yield Place(path, Access.READ, fixed=True)

    def _settings(self) -> list[Place]:
        """What says from where tools install for hostler's user: may be hidden, or opened on purpose."""
        return [Place(path, Access.READ, fixed=True) for path in settings_of_tools(self.launch.host_env)]

    def _outputs(self) -> list[Place]:
        """Folders of hostler's own output: the server may write in them, but not replace them."""
        known = [*self._settings(), *self._open(self.launch.cwd), *self._closed()]
        return [
            Place(path, Access.WRITE, fixed=True) for path in self.launch.outputs if may_write(path, known)
        ]

    def _folders(self) -> list[Path]:
        told = self.launch.facts.get("writable_paths", ())
        needed = [self.launch.cwd / path for path in told] if isinstance(told, list | tuple) else []
        return [*needed, *expanded(self.wanted.writable, home_of(self.launch.env))]

    async def _make_folders(self) -> None:
        """Have the folders there that it may write to; made as its user."""
        if absent := missing(self._folders()):
            for path in absent:
                real_path(Path(path), roots_of(self._open(self.launch.cwd)))  # refuses links of the server
            argv = ["/bin/mkdir", "-p", "-m", "0700", "--", *absent]
            result = await self.server.run_command(argv, timeout=DEADLINE, env={}, sandboxed=False)
            refuse(result, "its folders cannot be made", "make them, or correct writable and user")

    async def _make_placeholders(self, cwd: Path) -> None:
        """Make what the server must not make itself, empty and as its user."""
        if wanted := placeholders(self.launch, [*self._settings(), *self._open(cwd), *self._closed()]):
            result = await self.server.run_command(
                command_to_make(wanted), timeout=DEADLINE, env={}, cwd=Path("/"), sandboxed=False
            )
            refuse(
                result, "what the server must not write cannot be made first", "make it, or correct writable"
            )

    async def _seen(self, paths: list[Path]) -> list[Path]:
        """Those of these paths that are there for the server's user: what it cannot see needs no hiding."""
        there = [path for path in paths if path.exists()]
        if self.launch.user is None and self.launch.group is None:
            return there
        argv = ["/bin/sh", "-c", _WHICH, "sh", *map(str, there)]
        result = await self.server.run_command(argv, timeout=DEADLINE, env={}, sandboxed=False)
        refuse(result, "what is to be hidden cannot be looked up", "correct hidden")
        return [there[int(number)] for number in result.stdout.split()]

    def _made(self) -> list[Path]:
        """What other plugins made for this run."""
        own = None if self.tmp is None else self.tmp[1]
        return [path for path in self.launch.temporary if path != own]

    def _private_tmp(self) -> Path:
        if self.tmp is None:
            try:
                folder = private_folder(self.launch, "tmp")
                context = self.launch.temporary[-1]
                if folder == context:
                    folder = context / "tmp"
                    folder.mkdir(mode=0o700)
                    folder.chmod(0o700)  # whatever the umask is
                (context / "filter").write_bytes(without_user_namespaces())
                (context / "filter").chmod(0o644)
            except OSError as error:
                raise EnvironmentSetupFailed(
                    f"no temporary folder can be made for the sandbox: {error.strerror}",
                    hint="make room in /tmp",
                ) from error
            self.tmp = folder, context

        return self.tmp[0]

    def _command(self, cwd: Path, places: list[Place]) -> list[str]:
        # bwrap's own processes ignore what ends the server: it is the server that ends, and they with it.
        return [
            _ENV,
            f"--ignore-signal={_ENDS}",
            *self._program(places),
            *_NAMESPACES,
            *self._capabilities()[0],
            # Without a session of its own the server could type into our terminal (TIOCSTI).
            *("--new-session", "--die-with-parent"),
            *("--ro-bind", "/", "/", "--dev", "/dev", "--proc", "/proc"),
            *("--ro-bind", _SETTINGS, _SETTINGS),  # for root may write there, whatever its capabilities
            *mounts(places),
            *("--chdir", os.path.realpath(cwd)),
            *self.wanted.arguments,
            "--",
            _ENV,
            f"--default-signal={_ENDS}",
        ]

    def _program(self, places: Sequence[Place]) -> list[str]:
        """bwrap, without user namespaces in the sandbox where they would undo what protects single files."""
        if not any(place.fixed for place in places):
            return [self.wanted.program]
        if (machine := os.uname().machine) not in MACHINES:
            raise EnvironmentSetupFailed(
                f"on {machine} the sandbox cannot protect files in a folder that the server may write to",
                hint="keep the configuration, plugins, secrets and hostler's environment out of it",
                permanent=True,
            )

        assert self.tmp is not None
        return [
            "/bin/sh",
            "-c",
            _FILTERED,
            str(self.tmp[1] / "filter"),
            self.wanted.program,
            "--seccomp",
            "9",
        ]

    def _capabilities(self) -> tuple[list[str], frozenset[str] | None]:
        """The words that have bwrap drop what root may, and what the core is to leave: root needs its
        capabilities to build the sandbox."""
        launch = self.launch
        kept = sorted(launch.capabilities or ())

        if os.geteuid() == 0 and launch.user in {None, "root", "0"}:
            added = (word for name in kept for word in ("--cap-add", f"CAP_{name.upper()}"))
            return ["--cap-drop", "ALL", *added], None
        if kept:
            raise EnvironmentSetupFailed(
                f"in a sandbox only root can keep capabilities: {', '.join(kept)}",
                hint="keep none (privileges = { capabilities = [] }), or take user or sandbox out",
                permanent=True,
            )

        return ["--cap-drop", "ALL"], launch.capabilities


def _outside(folders: Sequence[Path], places: Iterable[Place]) -> list[Place]:
    return [one for one in places if not any(folder in one.path.parents for folder in folders)]


def refuse(result: CommandResult, what: str, hint: str) -> None:
    """Raise EnvironmentSetupFailed unless a command was successful."""
    if result.code != 0:
        reason = result.last_line or "it took too long"
        raise EnvironmentSetupFailed(f"{what}: {reason}", hint=hint, permanent=True)
