"""Installs a native program from npm into hostler's cache: once, verified, whole or not at all."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import shutil
import tarfile
import tempfile
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import anyio.to_thread
from hostler import Launch, ProcessSpawnFailed, ServerView

from hostler_plugins.opencode.environment import make_private
from hostler_plugins.opencode.file_lock import take_lock
from hostler_plugins.opencode.locate import own_tool
from hostler_plugins.opencode.registries import NO_PROJECT, separate, tool_env, tool_path
from hostler_plugins.opencode.subprocess import Outcome, run_tool

_DEADLINE = 540.0  # seconds; below prepare_timeout, so that the error is ours
_LOOK = 20.0  # for what takes milliseconds, on a busy machine
_OF_THE_SYSTEM = Path("/var/cache/hostler")
_HALF = ".installing-"
_NO_PROGRAM = 127  # of env and of shells
_MISSING = ("E404", "ETARGET", "No version matching", "- 404")
_CHANGED = ("EINTEGRITY", "ntegrity check")
_CUT = ("ECONNRESET", "EBADSIZE", "Z_BUF_ERROR", "TAR_BAD_ARCHIVE", "aborted", "Fail extracting tarball")

_SEE_REGISTRY = (
    "see that the registry can be reached (proxy, network), "
    'or set opencode = { binary = "/path/to/opencode" }'
)


async def cache_for(server: ServerView, launch: Launch) -> Path | None:
    """The cache for a server of another user: that of the system where this user cannot enter hostler's."""
    if launch.user is None and launch.group is None:
        return None
    wanted = launch.cache_dir / "opencode"
    there = next(folder for folder in (wanted, *wanted.parents) if folder.exists())
    argv = ["/bin/sh", "-c", '[ -x "$1" ]', "sh", str(there)]
    asked = await server.run_command(argv, timeout=_LOOK, env={}, cwd=Path("/"), sandboxed=False)
    return launch.cache_dir if asked.code == 0 else _OF_THE_SYSTEM


@dataclass(frozen=True, slots=True)
class Installation:
    """One version of an npm package with a program in it (`bin/NAME`) that is to be in hostler's cache.

    `cache` is the one where another user is to find it, who may read there.
    """

    launch: Launch
    package: str
    version: str
    name: str
    progress: Callable[[str], object] = str
    cache: Path | None = None

    @property
    def folder(self) -> Path:
        """Where the package is, once it is there."""
        cache = self.cache or self.launch.cache_dir
        return cache / "opencode" / f"{self.package.replace('/', '+')}@{self.version}"

    @property
    def program(self) -> Path:
        """The native program in it."""
        return self.folder / "bin" / self.name

    async def ensure(self) -> Path:
        """The installed program; installs it first when it is missing.

        Raises ProcessSpawnFailed when neither npm nor bun is there, the registry cannot be reached,
        there is no such version, or what came is not what the registry promised.
        """
        if self.program.is_file():
            return self.program

        root = self.folder.parent
        for made in make_private(root):
            made.chmod(0o755 if self.cache else 0o700)

        with await take_lock(root / f"{self.folder.name}.lock", self._say_waiting):
            if not self.program.is_file():
                await self._install(root)

        return self.program

    def check(self) -> None:
        """Raise ProcessSpawnFailed where `ensure` would have to install it and finds neither npm nor bun."""
        # Whether another user can enter hostler's cache is known at the start only: see `cache_for`.
        is_other_user = self.launch.user is not None or self.launch.group is not None
        caches = [self.cache, _OF_THE_SYSTEM] if is_other_user else [self.cache]
        is_installed = any(replace(self, cache=cache).program.is_file() for cache in caches)
        if not is_installed and not any(own_tool(name, self.launch) for name in ("npm", "bun")):
            raise self._no_tool()

    def _say_waiting(self) -> None:
        self.progress(f"another hostler is installing {self.package} {self.version}")

    async def _install(self, root: Path) -> None:
        scratch = self._clear_and_make_scratch(root)
        try:
            self._put_in_place(await self._fetch(scratch))
        except OSError as error:
            why = error.strerror or str(error)
            raise self._failed(
                why, "see that the disk of hostler's cache is writable and has room"
            ) from error
        finally:
            shutil.rmtree(scratch, ignore_errors=True)

    def _clear_and_make_scratch(self, root: Path) -> Path:
        prefix = f"{_HALF}{self.folder.name}-"
        for half in root.glob(f"{prefix}*"):  # we hold the lock: whoever made it is dead
            shutil.rmtree(half, ignore_errors=True)
        scratch = Path(tempfile.mkdtemp(prefix=prefix, dir=root))
        scratch.chmod(0o700)  # whatever the umask
        return scratch

    def _put_in_place(self, package: Path) -> None:
        program = package / "bin" / self.name
        for path in (package, program.parent, program):
            path.chmod(0o755)  # who cannot use it cannot enter the cache
        # On the disk before the rename: a power failure must not leave an empty program under the final name.
        with program.open("rb") as file:
            os.fsync(file.fileno())
        if self.folder.exists():  # without its program, or we would not be here
            shutil.rmtree(self.folder)
        # The last step: whoever finds the folder finds a whole program in it.
        package.rename(self.folder)

    async def _fetch(self, scratch: Path) -> Path:
        npm, bun = own_tool("npm", self.launch), own_tool("bun", self.launch)
        if npm is not None:
            return await self._fetch_with_npm(npm, scratch)
        if bun is not None:
            return await self._fetch_with_bun(bun, scratch)
        raise self._no_tool()

    async def _fetch_with_npm(self, npm: Path, scratch: Path) -> Path:
        job, wanted = separate(scratch), f"{self.package}@{self.version}"
        self.progress(f"asking npm for {self.package} {self.version}")
        asked = await self._run([npm, "view", wanted, "dist.integrity", "--json", NO_PROJECT], job)
        self.progress(f"downloading {self.package} {self.version}, about 60 MB")
        await self._run([npm, "pack", wanted, "--ignore-scripts", "--loglevel=error", NO_PROJECT], job)
        self.progress(f"checking and unpacking {self.package} {self.version}")
        return await anyio.to_thread.run_sync(self._unpack, job, _digest(asked.stdout))

    async def _fetch_with_bun(self, bun: Path, scratch: Path) -> Path:
        job, wanted = separate(scratch), f"{self.package}@{self.version}"
        self.progress(f"downloading {self.package} {self.version} with bun, about 60 MB")
        # bun checks the registry's sha512 itself; copies, so that its own cache stays its own.
        await self._run([bun, "add", wanted, "--ignore-scripts", "--backend=copyfile"], job)
        folders = [folder / "node_modules" / self.package for folder in (job, scratch)]
        package = next((folder for folder in folders if folder.is_dir()), folders[0])
        self._check_program(package / "bin" / self.name)
        return package.resolve()

    async def _run(self, argv: Sequence[str | Path], cwd: Path) -> Outcome:
        path = await anyio.to_thread.run_sync(tool_path, Path(argv[0]), self.launch)
        env = await anyio.to_thread.run_sync(tool_env, self.launch, path, cwd.parent)
        try:
            outcome = await run_tool([str(word) for word in argv], cwd=cwd, env=env, deadline=_DEADLINE)
        except OSError as error:
            raise self._failed(f"{argv[0]} cannot be run: {error.strerror}", "repair it") from error

        if outcome.code != 0:
            raise self._refused(Path(argv[0]).name, outcome)

        return outcome

    def _refused(self, tool: str, outcome: Outcome) -> ProcessSpawnFailed:
        if any(sign in outcome.text for sign in _MISSING):
            return self._failed(
                f"{tool} knows no {self.package} {self.version}",
                f'choose another one: opencode = {{ version = "..." }}; {tool} said: {outcome.text[-500:]}',
                permanent=True,
            )
        if any(sign in outcome.text for sign in _CHANGED):
            return self._changed()
        if any(sign in outcome.text for sign in _CUT):
            return self._failed(
                f"the download was incomplete; {tool} said: {outcome.text.splitlines()[0]}",
                "try again; if it stays, see to the network and the proxy between you and the registry",
            )
        if outcome.code == _NO_PROGRAM:
            return self._failed(
                f"{tool} cannot be run: {outcome.text or 'a program that it needs is missing'}",
                f"install Node.js, or see that node, which runs {tool}, is in the PATH of hostler",
            )

        return self._failed(
            f"{tool} {outcome.how}: {outcome.text or 'no output'}",
            _SEE_REGISTRY,
        )

    def _unpack(self, job: Path, digest: bytes) -> Path:
        archive = next(job.glob("*.tgz"), None)
        if archive is None:
            raise self._failed("npm ended without a word and without a package", _SEE_REGISTRY)

        with archive.open("rb") as file:
            if hashlib.file_digest(file, "sha512").digest() != digest:
                raise self._changed()

        target = job.parent / "package"
        make_private(target / "bin")

        try:
            with tarfile.open(archive) as tar:
                # Two names and no extractall: nothing in a package may be written elsewhere, or be a link.
                for name in ("package.json", f"bin/{self.name}"):
                    self._take_out(tar, name, target / name)

        except (tarfile.TarError, EOFError, zlib.error) as error:
            raise self._unusable(f"it is not an archive that can be unpacked ({error})") from error

        return target

    def _take_out(self, tar: tarfile.TarFile, name: str, target: Path) -> None:
        """Unpack one plain file, and nothing that a package has in its place."""
        members = [member for member in tar.getmembers() if member.name == f"package/{name}"]
        if not members or not members[-1].isreg():
            raise self._unusable(f"there is no {name} in it" if not members else f"{name} in it is no file")
        source = tar.extractfile(members[-1])
        assert source is not None
        with source, target.open("wb") as out:
            shutil.copyfileobj(source, out, 1 << 20)

    def _check_program(self, program: Path) -> None:
        """Raise ProcessSpawnFailed where bun unpacked no plain file as the program."""
        if program.is_symlink() or not program.is_file():
            name = f"bin/{self.name}"
            there = os.path.lexists(program)
            raise self._unusable(f"{name} in it is no file" if there else f"there is no {name} in it")

    def _no_tool(self) -> ProcessSpawnFailed:
        return self._failed(
            "neither npm nor bun is installed",
            'install Node.js (which brings npm) or bun, or set opencode = { binary = "/path/to/opencode" }',
            permanent=True,
        )

    def _changed(self) -> ProcessSpawnFailed:
        return self._failed(
            f"what was downloaded as {self.package} {self.version} is not what the registry promised",
            "try again; if it stays, something between you and the registry changes packages",
            permanent=True,
        )

    def _unusable(self, why: str) -> ProcessSpawnFailed:
        return self._failed(
            f"the registry has another package of this name and version than what was asked for: {why}",
            "see which registry npm uses (npm config get registry), or choose another version: "
            'opencode = { version = "..." }',
            permanent=True,
        )

    def _failed(self, why: str, hint: str, *, permanent: bool = False) -> ProcessSpawnFailed:
        return ProcessSpawnFailed(
            f"{self.package} {self.version} cannot be installed: {why}",
            hint=hint,
            details={"package": self.package, "version": self.version},
            permanent=permanent,
        )


def _digest(integrity: str) -> bytes:
    """The sha512 in npm's answer (JSON: one string of hashes)."""
    try:
        hashes = str(json.loads(integrity)).split()
        return next(base64.b64decode(item[7:]) for item in hashes if item.startswith("sha512-"))
    except (ValueError, StopIteration):
        return b""  # equal to no digest
