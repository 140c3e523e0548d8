"""Reads what installed packages offer in a group of entry points.

The format is https://packaging.python.org/specifications/entry-points. `importlib.metadata` reads it too, but
its import (with an email parser) takes longer than all else that a start does with plugins. It is used only
where packages stand elsewhere than in folders: in an archive, or behind an importer of their own.
"""

from __future__ import annotations

import os
import re
import stat
import sys
import time
from collections.abc import Iterator
from functools import lru_cache
from importlib.machinery import PathFinder
from typing import NamedTuple

from msgspec import Struct

_KINDS = (".dist-info", ".egg-info")
_SETTLED = 2 * 10**9
"""Nanoseconds after which what changed a folder, perhaps an installation, is taken to be over."""


class EntryPoint(NamedTuple):
    """One entry point, and the package that it came with ("" where that has no name or version)."""

    name: str
    value: str
    package: str
    version: str

    @property
    def owner(self) -> str:
        """The package, for a message."""
        return self.package or "an unnamed package"

    @property
    def target(self) -> tuple[str, str]:
        """The module to import, and the name to take from it, perhaps dotted."""
        module, _, attribute = self.value.partition("[")[0].partition(":")  # without the extras
        return module.strip(), attribute.strip()


class _Folder(Struct, frozen=True):
    """An entry of sys.path, and by what one sees that it has changed (zeros where there is none)."""

    path: str
    mode: int = 0
    device: int = 0
    inode: int = 0
    modified: int = 0


def read_entry_points(group: str) -> list[EntryPoint]:
    """The entry points of a group; of two packages of one name the first on sys.path counts.

    They are read from files again when sys.path or a folder on it has changed.
    """
    finders = any(hasattr(one, "find_distributions") for one in sys.meta_path if one is not PathFinder)
    # As with an import, the first folder on the path wins.
    folders = tuple(_folder_at(entry or ".") for entry in dict.fromkeys(sys.path))
    if finders or any(one.path.endswith(".egg") or stat.S_ISREG(one.mode) for one in folders):
        return list(_by_library(group))
    if max((one.modified for one in folders), default=0) > time.time_ns() - _SETTLED:
        return list(_in_folders(group, folders))
    return list(_in_settled_folders(group, folders))


def _folder_at(path: str) -> _Folder:
    try:
        found = os.stat(path)  # noqa: PTH116 - a Path for each would cost more than the look itself
    except OSError:
        return _Folder(path)
    return _Folder(path, found.st_mode, found.st_dev, found.st_ino, found.st_mtime_ns)


def _by_library(group: str) -> Iterator[EntryPoint]:
    from importlib.metadata import entry_points  # noqa: PLC0415 - see above

    for entry in entry_points(group=group):
        dist = entry.dist
        yield EntryPoint(entry.name, entry.value, *(("", "") if dist is None else (dist.name, dist.version)))


@lru_cache(maxsize=4)  # every server with a plugin asks
def _in_settled_folders(group: str, folders: tuple[_Folder, ...]) -> tuple[EntryPoint, ...]:
    return tuple(_in_folders(group, folders))


def _in_folders(group: str, folders: tuple[_Folder, ...]) -> Iterator[EntryPoint]:
    seen: set[str] = set()
    for folder in folders:
        for metadata in _metadata_in(folder.path):
            name = _normalized(metadata)
            if name not in seen:
                seen.add(name)
                yield from _entry_points_of(metadata, group)


def _metadata_in(folder: str) -> list[str]:
    try:
        names = os.listdir(folder)  # noqa: PTH208 - as above
    except OSError:
        return []
    return [f"{folder}/{name}" for name in names if name.endswith(_KINDS)]


def _normalized(metadata: str) -> str:
    """The name of the package, https://packaging.python.org/specifications/name-normalization."""
    name, _, _ = os.path.basename(metadata).rpartition(".")[0].partition("-")  # noqa: PTH119 - as above
    return re.sub(r"[-_.]+", "-", name).lower()


def _entry_points_of(metadata: str, group: str) -> Iterator[EntryPoint]:
    text = _text(f"{metadata}/entry_points.txt")
    if f"[{group}]" not in text:
        return
    header = _text(f"{metadata}/METADATA") or _text(f"{metadata}/PKG-INFO")
    about = dict(line.split(": ", 1) for line in header.partition("\n\n")[0].splitlines() if ": " in line)
    for name, value in _pairs(text, group):
        yield EntryPoint(name, value, about.get("Name", ""), about.get("Version", ""))


def _text(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:  # noqa: PTH123 - as above
            return file.read()
    except OSError:
        return ""


def _pairs(text: str, group: str) -> Iterator[tuple[str, str]]:
    section = ""
    for line in map(str.strip, text.splitlines()):
        if line.startswith("["):
            section = line.strip("[]")
        elif section == group and "=" in line and not line.startswith("#"):
            name, _, value = line.partition("=")
            yield name.strip(), value.strip()
