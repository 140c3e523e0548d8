"""hostler's own program and what it has imported: nothing that a server may change for the next start."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path


def import_folders() -> list[Path]:
    """Where Python looks for modules."""
    return [Path(entry) for entry in sys.path if entry.startswith("/") and Path(entry).is_dir()]


def code_of_ours(roots: Sequence[Path]) -> Iterator[Path]:
    """The environment that hostler runs in, what it imports from, and the files of what it has imported from
    these folders."""
    yield from (Path(sys.prefix), Path(sys.base_prefix), *import_folders())
    inside = tuple(f"{root}/" for root in roots)
    files = (getattr(module, "__file__", None) for module in list(sys.modules.values()))
    yield from sorted({Path(file) for file in files if isinstance(file, str) and file.startswith(inside)})
