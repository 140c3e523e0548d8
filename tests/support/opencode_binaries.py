"""Real OpenCode binaries for tests: fetched once by npm into the tests' cache, never into the repository."""

from __future__ import annotations

import platform
import subprocess
import tempfile
from pathlib import Path

import pytest
from downloads import EVERYTHING, cache_folder, fetched, fetches_everything, npm_with_network

NEWEST = "1.18.34"
PREVIEW = "2.x-preview"
_PREVIEW_PACKAGE_VERSION = "1.18.18"


def platform_name() -> str:
    """This platform as npm names it in OpenCode's packages: "linux-x64"."""
    machine = {"x86_64": "x64", "amd64": "x64", "aarch64": "arm64"}.get(platform.machine().lower())
    return f"{platform.system().lower()}-{machine or platform.machine().lower()}"


def npm_package(name: str, version: str) -> Path:
    """The unpacked folder of an npm package (with package.json), fetched once; safe for tests in parallel."""
    return fetched(
        f"{name.replace('/', '+')}@{version}",
        "package.json",
        lambda target: _fetch(f"{name}@{version}", target),
    )


def opencode_binary(version: str) -> Path:
    """The native OpenCode of a version (`NEWEST`, `PREVIEW`, "1.0.0"), in a `bin` beside its package.json."""
    if version != NEWEST:
        only_with_every_version()
    if version == PREVIEW:
        folder = npm_package(f"@opencode-ai/cli-{platform_name()}", _PREVIEW_PACKAGE_VERSION)
        return next(path for path in (folder / "bin").iterdir() if path.is_file())
    return npm_package(f"opencode-{platform_name()}", version) / "bin" / "opencode"


def only_with_every_version() -> None:
    """Skip a test of other versions than the newest, unless all are asked for."""
    if not fetches_everything():
        pytest.skip(f"other versions of OpenCode are fetched with {EVERYTHING}=all only")


def _fetch(package: str, target: Path) -> None:
    npm = npm_with_network()

    with tempfile.TemporaryDirectory(dir=cache_folder(), prefix=".fetching-") as scratch:
        command = [npm, "pack", "--silent", "--ignore-scripts", "--pack-destination", scratch, package]
        command += ["--cache", f"{scratch}/npm"]  # kept unpacked, and not once more as an archive
        subprocess.run(command, check=True, cwd=scratch, stdout=subprocess.DEVNULL, timeout=300)
        (archive,) = Path(scratch).glob("*.tgz")

        # Not by tarfile, whose filters came with Python 3.11.4.
        subprocess.run(["tar", "-xzf", archive, "--no-same-owner"], check=True, cwd=scratch)
        for program in Path(scratch, "package", "bin").glob("*"):
            program.chmod(0o755)
        Path(scratch, "package").rename(target)
