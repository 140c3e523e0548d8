"""Real OpenCode binaries for tests: fetched once by npm into the user's cache, never into the repository."""

from __future__ import annotations

import fcntl
import os
import platform
import shutil
import subprocess
import tarfile
import tempfile
from pathlib import Path

import pytest

NEWEST = "1.18.34"
PREVIEW = "2.x-preview"
_PREVIEW_PACKAGE_VERSION = "1.18.18"


def cache_folder() -> Path:
    """Where the binaries are kept: `${XDG_CACHE_HOME:-~/.cache}/hostler-tests/`."""
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    folder = Path(base) / "hostler-tests"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return folder


def platform_name() -> str:
    """This platform as npm names it in OpenCode's packages: "linux-x64"."""
    machine = {"x86_64": "x64", "amd64": "x64", "aarch64": "arm64"}.get(platform.machine().lower())
    return f"{platform.system().lower()}-{machine or platform.machine().lower()}"


def npm_program() -> str:
    """The path of npm; without one the test is skipped with that reason."""
    return shutil.which("npm") or pytest.skip("npm is not installed: the real OpenCode cannot be fetched")


def npm_package(name: str, version: str) -> Path:
    """The unpacked folder of an npm package (with package.json), fetched once; safe for tests in parallel."""
    root = cache_folder()
    target = root / f"{name.replace('/', '+')}@{version}"

    with (root / f"{target.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)

        if not target.exists():
            _fetch(f"{name}@{version}", root, target)

    return target


def opencode_binary(version: str) -> Path:
    """The native OpenCode of a version ("1.18.34", `PREVIEW`), in a `bin` beside its package.json."""
    if version == PREVIEW:
        folder = npm_package(f"@opencode-ai/cli-{platform_name()}", _PREVIEW_PACKAGE_VERSION)
        return next(path for path in (folder / "bin").iterdir() if path.is_file())

    return npm_package(f"opencode-{platform_name()}", version) / "bin" / "opencode"


def _fetch(package: str, root: Path, target: Path) -> None:
    npm = npm_program()

    with tempfile.TemporaryDirectory(dir=root, prefix=".fetching-") as scratch:
        command = [npm, "pack", "--silent", "--ignore-scripts", "--pack-destination", scratch, package]
        subprocess.run(command, check=True, cwd=scratch, stdout=subprocess.DEVNULL, timeout=300)
        (archive,) = Path(scratch).glob("*.tgz")

        with tarfile.open(archive) as tar:
            tar.extractall(scratch, filter="tar")

        for program in Path(scratch, "package", "bin").glob("*"):
            program.chmod(0o755)

        Path(scratch, "package").rename(target)
