"""Servers of other makers for tests: from PyPI and npm into the tests' cache, or of the system."""

from __future__ import annotations

import shutil
import subprocess
import sys
import venv
from hashlib import sha256
from pathlib import Path

import pytest
from downloads import fetched, npm_with_network, pip_with_network

PYPI = ("uvicorn==0.54.0", "flask==3.1.3", "jupyter-server==2.21.1", "mcp==2.3.0")
VITE = "vite@8.3.8"


def python_programs() -> Path:
    """The `bin` of an environment with the servers that come from PyPI, made once."""
    name = sha256(f"{sys.version} {PYPI}".encode()).hexdigest()[:12]
    return fetched(f"servers-{name}", "complete", _install_from_pypi) / "bin"


def _install_from_pypi(target: Path) -> None:
    pip = pip_with_network()
    venv.create(target, with_pip=True)
    command = [str(target / "bin" / "python"), *pip, "--no-cache-dir", *PYPI]
    subprocess.run(command, check=True, timeout=600, capture_output=True)


def vite_modules() -> Path:
    """A folder `node_modules` with Vite in it, made once."""
    return fetched(VITE, "complete", _install_vite) / "node_modules"


def _install_vite(target: Path) -> None:
    npm = npm_with_network()
    target.mkdir()
    (target / "package.json").write_text("{}")
    command = [npm, "install", "--silent", "--no-audit", "--no-fund", VITE]
    subprocess.run(command, check=True, cwd=target, timeout=600, capture_output=True)


def system_program(name: str, *folders: Path) -> Path:
    """A program of the system; without it the test is skipped with that reason (.ci/run installs it)."""
    path = ":".join(["/usr/sbin", "/usr/local/sbin", *map(str, folders)])
    found = shutil.which(name) or shutil.which(name, path=path)
    return Path(found or pytest.skip(f"{name} is not installed"))
