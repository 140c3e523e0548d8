"""Reads what installed packages offer in a group of entry points.

The format is https://packaging.python.org/specifications/entry-points. `importlib.metadata` reads it too, but
its import (with an email parser) takes longer than all else that a start does with plugins. It is used only
where packages stand elsewhere than in folders: in an archive, or behind an importer of their own.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator
from importlib.machinery import PathFinder
from typing import NamedTuple

_KINDS = (".dist-info", ".egg-info")


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


def read_entry_points(group: str) -> list[EntryPoint]:
    """The entry points of a group; of two packages of one name the first on sys.path counts."""
    finders = any(hasattr(one, "find_distributions") for one in sys.meta_path if one is not PathFinder)
    # Names of files are plain strings in this module: a Path for each would cost more than the look itself.
    archives = any(entry.endswith(".egg") or os.path.isfile(entry) for entry in sys.path)  # noqa: PTH113
    return list(_by_library(group) if finders or archives else _in_folders(group))


def _by_library(group: str) -> Iterator[EntryPoint]:
    from importlib.metadata import entry_points  # noqa: PLC0415 - see above

    for entry in entry_points(group=group):
        dist = entry.dist
        yield EntryPoint(entry.name, entry.value, *(("", "") if dist is None else (dist.name, dist.version)))


def _in_folders(group: str) -> Iterator[EntryPoint]:
    seen: set[str] = set()
    # As with an import, the first folder on the path wins.
    for folder in dict.fromkeys(sys.path):
        for metadata in _metadata_in(folder or "."):
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
