"""Servers of other makers for tests: from PyPI and npm into the user's cache, or of the system."""

from __future__ import annotations

import fcntl
import shutil
import subprocess
import sys
import venv
from hashlib import sha256
from pathlib import Path

import pytest
from opencode_binaries import cache_folder, npm_program

PYPI = ("uvicorn==0.54.0", "flask==3.1.3", "jupyter-server==2.21.1", "mcp==2.3.0")
VITE = "vite@8.3.8"


def python_programs() -> Path:
    """The `bin` of an environment with the servers that come from PyPI, made once."""
    name = sha256(f"{sys.version} {PYPI}".encode()).hexdigest()[:12]
    root = cache_folder()
    target = root / f"servers-{name}"

    with (root / f"{target.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)

        if not (target / "complete").exists():
            shutil.rmtree(target, ignore_errors=True)
            venv.create(target, with_pip=True)
            pip = [
                str(target / "bin" / "python"),
                "-m",
                "pip",
                "install",
                "-q",
                "--disable-pip-version-check",
            ]
            subprocess.run([*pip, *PYPI], check=True, timeout=600, capture_output=True)
            (target / "complete").touch()

    return target / "bin"


def vite_modules() -> Path:
    """A folder `node_modules` with Vite in it, made once."""
    root = cache_folder()
    target = root / VITE

    with (root / f"{VITE}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)

        if not (target / "complete").exists():
            shutil.rmtree(target, ignore_errors=True)
            target.mkdir()
            (target / "package.json").write_text("{}")
            npm = [npm_program(), "install", "--silent", "--no-audit", "--no-fund", VITE]
            subprocess.run(npm, check=True, cwd=target, timeout=600, capture_output=True)
            (target / "complete").touch()

    return target / "node_modules"


def system_program(name: str, *folders: Path) -> Path:
    """A program of the system; without it the test is skipped with that reason (.ci/run installs it)."""
    path = ":".join(["/usr/sbin", "/usr/local/sbin", *map(str, folders)])
    found = shutil.which(name) or shutil.which(name, path=path)
    return Path(found or pytest.skip(f"{name} is not installed"))
