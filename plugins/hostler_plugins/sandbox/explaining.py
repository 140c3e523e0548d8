"""What is said of the files that a server may not change, although they lie where it may write."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from hostler import Launch, Line, ServerView

from hostler_plugins.sandbox.own import import_folders

_REFUSED = re.compile(r"read-only file system|\bEROFS\b|\bEBUSY\b|device or resource busy", re.IGNORECASE)
_WHY = "hostler reads or runs it at its next start, outside of the sandbox"
_SHOWN = 3


def tell(server: ServerView, kept: Sequence[Path]) -> None:
    """Tell which files are read-only, and where hostler imports from a folder that has to be writable."""
    if kept:
        text = f"{names_of(kept)}: read-only for the server, because {_WHY}"
        server.notice("sandbox_read_only", text, paths=[str(path) for path in kept])

    if server.spec.cwd in import_folders():
        server.notice(
            "sandbox_import_path",
            f"Python imports from {server.spec.cwd}, where the server may write: what it leaves there may "
            "run outside of its sandbox at the next start; take the folder out of PYTHONPATH, or set cwd",
            level="warning",
        )


def explain_refusals(server: ServerView, launch: Launch, kept: Sequence[Path]) -> None:
    """Say why, when the server first says that something could not be written."""

    def look(line: Line) -> bool:
        if not _REFUSED.search(line.text):
            return True

        text = f"if it was {names_of(kept)} that it could not write: {_WHY}; change it yourself"
        server.notice("sandbox_refused", text, level="warning", line=line.text)
        return False

    launch.follow(look)


def names_of(paths: Sequence[Path]) -> str:
    """The first of these paths, and how many more there are."""
    more = f" and {len(paths) - _SHOWN} more" if len(paths) > _SHOWN else ""
    return ", ".join(map(str, paths[:_SHOWN])) + more
