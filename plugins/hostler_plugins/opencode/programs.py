"""Resolves a file to the native OpenCode program, behind npm's wrappers too."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hostler import Launch, read_head

from hostler_plugins.opencode.platforms import package_names, platform_name

NAMES = ("opencode", "lildax")
_NATIVE = (b"\x7fELF", b"\xcf\xfa\xed\xfe", b"\xca\xfe\xba\xbe")  # ELF, Mach-O, Mach-O of several systems
_LARGEST_PACKAGE = 2**20


@dataclass(frozen=True, slots=True)
class Program:
    """What will be run. `native` is False for a script: its signals may not reach the server behind it."""

    path: Path
    native: bool
    found: str


def is_program(path: Path) -> bool:
    """Whether a file can be executed by us, or is a wrapper whose native program may be."""
    with suppress(OSError):  # a folder of PATH that is closed to us
        return path.is_file() and (os.access(path, os.X_OK) or path.name == "opencode.exe")
    return False


def is_native(path: Path, launch: Launch) -> bool:
    """Whether a file is a machine program and no script."""
    return _head(path, launch, 4) in _NATIVE


def _head(path: Path, launch: Launch, most: int) -> bytes:
    with suppress(OSError):
        return read_head(launch, path, most) if path.is_file() else b""
    return b""


def read_package(launch: Launch, folder: Path) -> dict[str, Any]:
    """The package.json of a folder; empty where none can be read."""
    try:
        package = json.loads(read_head(launch, folder / "package.json", _LARGEST_PACKAGE))
    except (OSError, ValueError):
        return {}
    return package if isinstance(package, dict) else {}


def resolve(path: Path, found: str, launch: Launch) -> Program:
    """The native program behind a path, in the order of npm's own wrappers; else the path as it is."""
    real = path.resolve()
    if is_native(real, launch):
        return Program(real, native=True, found=found)
    for candidate in _behind(real, launch):
        if is_native(candidate, launch) and os.access(candidate, os.X_OK):
            return Program(candidate.resolve(), native=True, found=found)
    return Program(path, native=False, found=found)


def _behind(wrapper: Path, launch: Launch) -> Iterator[Path]:
    env = {**launch.host_env, **launch.env}

    if not _is_npm_wrapper(wrapper, launch):
        return

    # The order in which npm's wrapper looks: what we find is what it would have started.
    if env.get("OPENCODE_BIN_PATH"):
        yield Path(env["OPENCODE_BIN_PATH"])

    yield wrapper.with_name(".opencode")

    for folder in wrapper.parents:
        modules = folder if folder.name == "node_modules" else folder / "node_modules"
        yield from _packages(modules)
        # pnpm keeps the packages of a package beside the real place of its folder.
        yield from _packages((modules / "opencode-ai").resolve().parent)


def _packages(modules: Path) -> Iterator[Path]:
    for package in package_names():
        yield modules / package / "bin" / "opencode"
    yield modules / "@opencode-ai" / f"cli-{platform_name()}" / "bin" / "lildax"


def _is_npm_wrapper(path: Path, launch: Launch) -> bool:
    """Only OpenCode's own wrappers are looked behind: another script has its reasons, and is run as it is."""
    if path.parent.name == "bin" and path.parent.parent.name == "opencode-ai":
        return True
    head = _head(path, launch, 16384)
    return b"OPENCODE_BIN_PATH" in head or b"opencode-ai" in head
