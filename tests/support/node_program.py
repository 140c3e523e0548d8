"""The program in another language that talks to hostler: compiled with types of the document, and run."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from downloads import fetched, npm_with_network
from openapi_document import PATH as DOCUMENT

# A field of a body that has a default can be left out.
_TYPES = ("--output", "api.d.ts", "--default-non-nullable=false")
SOURCES = Path(__file__).parents[1] / "node"


def node() -> str:
    """The path of Node.js; without one the test is skipped with that reason."""
    return shutil.which("node") or pytest.skip("Node.js is not installed")


def compiled(folder: Path) -> Path:
    """The program, made in this folder from its TypeScript source."""
    packages = modules()
    for name in ("client.ts", "tsconfig.json", "package.json"):
        shutil.copy(SOURCES / name, folder)
    (folder / "node_modules").symlink_to(packages)
    _run(folder, str(packages / ".bin" / "openapi-typescript"), str(DOCUMENT), *_TYPES)
    _run(folder, str(packages / ".bin" / "tsc"), "--project", ".")
    return folder / "out" / "client.js"


def answer_of(program: Path, *arguments: str) -> dict[str, Any]:
    """What the program prints, an object."""
    told: dict[str, Any] = json.loads(_run(program.parent, node(), str(program), *arguments))
    return told


def modules() -> Path:
    """The packages of the lock file, installed once."""
    node()
    lock = (SOURCES / "package-lock.json").read_bytes()
    name = f"node-{hashlib.sha256(lock).hexdigest()[:16]}"
    return fetched(name, "done", _install) / "node_modules"


def _install(target: Path) -> None:
    npm = npm_with_network()
    target.mkdir()
    for name in ("package.json", "package-lock.json"):
        shutil.copy(SOURCES / name, target)
    _run(target, npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--cache", str(target / "npm"))
    shutil.rmtree(target / "npm")  # kept unpacked, and not once more as archives


def _run(folder: Path, *argv: str) -> str:
    done = subprocess.run(argv, cwd=folder, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
