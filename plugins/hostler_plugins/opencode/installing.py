"""Installing a native program from npm into hostler's cache: once, verified, whole or not at all."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import shutil
import tarfile
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import anyio.to_thread
from hostler import Launch, ProcessSpawnFailed

from hostler_plugins.opencode import locking
from hostler_plugins.opencode.environment import make_private
from hostler_plugins.opencode.finding import on_path
from hostler_plugins.opencode.tools import Outcome, run_tool

_DEADLINE = 540.0  # seconds; below prepare_timeout, so that the error is ours
_HALF = ".installing-"
_MISSING = ("E404", "ETARGET", "No version matching", "- 404")


@dataclass(frozen=True, slots=True)
class Installation:
    """One version of an npm package with a program in it (`bin/NAME`) that is to be in hostler's cache."""

    launch: Launch
    package: str
    version: str
    name: str
    progress: Callable[[str], None]

    @property
    def folder(self) -> Path:
        """Where the package is, once it is there."""
        return self.launch.cache_dir / "opencode" / f"{self.package.replace('/', '+')}@{self.version}"

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
        make_private(root)

        with await locking.take(root / f"{self.folder.name}.lock", self._say_waiting):
            if not self.program.is_file():
                await self._install(root)

        return self.program

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
        program.chmod(0o755)

        with program.open("rb") as file:
            os.fsync(file.fileno())

        if self.folder.exists():  # without its program, or we would not be here
            shutil.rmtree(self.folder)

        package.rename(self.folder)

    async def _fetch(self, scratch: Path) -> Path:
        npm, bun = on_path("npm", self.launch), on_path("bun", self.launch)

        if npm is not None:
            return await self._fetch_with_npm(npm, scratch)

        if bun is not None:
            return await self._fetch_with_bun(bun, scratch)

        raise self._failed(
            "neither npm nor bun is installed",
            'install Node.js (which brings npm) or bun, or set opencode = { binary = "/path/to/opencode" }',
            permanent=True,
        )

    async def _fetch_with_npm(self, npm: Path, scratch: Path) -> Path:
        self.progress(f"asking npm for {self.package} {self.version}")
        wanted = f"{self.package}@{self.version}"
        integrity = (await self._run([npm, "view", wanted, "dist.integrity", "--json"], scratch)).stdout
        self.progress(f"downloading {self.package} {self.version}, about 60 MB")
        await self._run([npm, "pack", wanted, "--ignore-scripts", "--silent"], scratch)
        self.progress(f"checking and unpacking {self.package} {self.version}")
        return await anyio.to_thread.run_sync(self._unpack, scratch, _digest(integrity))

    async def _fetch_with_bun(self, bun: Path, scratch: Path) -> Path:
        self.progress(f"downloading {self.package} {self.version} with bun, about 60 MB")
        (scratch / "package.json").write_text("{}")
        # bun checks the registry's sha512 itself; copies, so that its own cache stays its own.
        wanted = f"{self.package}@{self.version}"
        await self._run([bun, "add", wanted, "--ignore-scripts", "--backend=copyfile"], scratch)
        return scratch / "node_modules" / self.package

    async def _run(self, argv: Sequence[str | Path], cwd: Path) -> Outcome:
        # The cwd is ours: an .npmrc of the project must not choose where programs come from.
        env = {
            **self.launch.host_env,
            "PATH": _with_tools(self.launch),
            "npm_config_update_notifier": "false",
        }

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

        what = "did not finish in time" if outcome.code is None else f"ended with exit code {outcome.code}"
        return self._failed(
            f"{tool} {what}: {outcome.text}",
            "see that the registry can be reached (proxy, network), "
            'or set opencode = { binary = "/path/to/opencode" }',
        )

    def _unpack(self, scratch: Path, digest: bytes) -> Path:
        archive = next(scratch.glob("*.tgz"), scratch / "package.tgz")

        with archive.open("rb") as file:
            if hashlib.file_digest(file, "sha512").digest() != digest:
                raise self._failed(
                    f"what was downloaded as {self.package} {self.version} is not what the registry promised",
                    "try again; if it stays, something between you and the registry changes packages",
                    permanent=True,
                )

        target = scratch / "package"
        make_private(target / "bin")

        with tarfile.open(archive) as tar:
            for name in ("package.json", f"bin/{self.name}"):
                source = tar.extractfile(f"package/{name}")
                assert source is not None

                with source, (target / name).open("wb") as out:
                    shutil.copyfileobj(source, out, 1 << 20)

        return target

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


def _with_tools(launch: Launch) -> str:
    """A PATH on which npm finds node, wherever npm was found."""
    paths = [launch.env.get("PATH", ""), launch.host_env.get("PATH", os.defpath)]
    return os.pathsep.join(path for path in paths if path)
