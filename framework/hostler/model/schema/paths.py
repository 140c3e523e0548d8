"""Paths as they stand in a configuration, made absolute."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path


def is_anchored(text: str) -> bool:
    """Whether a path means the same wherever it stands: it is absolute or starts in a home directory."""
    return text.startswith(("/", "~"))


def is_path(program: str) -> bool:
    """Whether a program is given by a path and not by a name to be found in PATH."""
    return "/" in program or program.startswith("~")


def absolute(text: str, base: Path, environ: Mapping[str, str]) -> Path:
    """A path seen from `base`; `~` is the home directory.

    Raises ValueError, which says what is expected, for a user who does not exist.
    """
    head, slash, rest = text.partition("/")
    if not head.startswith("~"):
        return tidy(base / text)
    home = environ.get("HOME", "") if head == "~" else ""
    found = home or os.path.expanduser(head)  # noqa: PTH111 - Path.expanduser raises RuntimeError
    if found.startswith("~"):
        raise ValueError("a home directory that exists")
    return tidy(Path(found + slash + rest))


def tidy(path: Path) -> Path:
    """The path without `..`, unless a symlink on the way makes that another place."""
    if ".." not in path.parts:
        return path
    short = os.path.normpath(path)
    return Path(short) if os.path.realpath(short) == os.path.realpath(path) else path
