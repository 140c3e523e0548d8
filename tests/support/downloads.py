"""What tests fetch from npm and PyPI, once, into one cache; and why they cannot where there is no network."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest

EVERYTHING = "TESTS_FETCH"  # =all: every version of OpenCode, and what cannot be fetched is a failure


def cache_folder() -> Path:
    """Where all of it is kept: `${XDG_CACHE_HOME:-~/.cache}/hostler-tests/` of whoever runs the tests."""
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    folder = Path(os.environ.get("TESTS_CACHE") or Path(base, "hostler-tests"))
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return folder


def fetches_everything() -> bool:
    return os.environ.get(EVERYTHING) == "all"


def fetched(name: str, done: str, fetch: Callable[[Path], None]) -> Path:
    """A folder of the cache, filled once: the file `done` in it says so. Safe for tests in parallel."""
    target = cache_folder() / name
    with target.with_name(f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (target / done).exists():
            shutil.rmtree(target, ignore_errors=True)
            fetch(target)
            (target / done).touch()
    return target


def npm_program() -> str:
    """The path of npm; without one the test is skipped with that reason."""
    return shutil.which("npm") or pytest.skip("npm is not installed: it fetches what is needed")


def npm_with_network() -> str:
    """The path of an npm that reaches its registry; else the test is skipped with npm's reason."""
    npm = npm_program()
    _need_network("npm", npm, "view", "semver", "version", "--fetch-retries=0")
    return npm


def pip_with_network() -> list[str]:
    """The words that install from PyPI; where it is not reached the test is skipped with pip's reason."""
    pip = ["-m", "pip", "install", "-q", "--disable-pip-version-check"]
    probe = ["--dry-run", "--ignore-installed", "--no-deps", "--retries=0", "flask==3.1.3"]
    _need_network("pip", sys.executable, *pip, *probe)
    return pip


def _need_network(name: str, *probe: str) -> None:
    if not fetches_everything() and (reason := _why_not(*probe)):
        pytest.skip(f"needs the network, and {name} says: {reason}")


@cache
def _why_not(*probe: str) -> str:
    """Why a program gets nothing from the network, in its own words; asked once."""
    with tempfile.TemporaryDirectory() as unused:  # npm answers from its own where there is no network
        env = os.environ | {"npm_config_cache": unused}
        tried = subprocess.run(probe, capture_output=True, text=True, check=False, timeout=120, env=env)
    said = [line for line in tried.stderr.splitlines() if line.strip()]
    return "" if tried.returncode == 0 else next(iter(said), f"exit code {tried.returncode}")
