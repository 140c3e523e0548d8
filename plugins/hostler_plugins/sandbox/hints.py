"""Notices about files that a server may not change, although they lie where it may write."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path

from hostler import Launch, Line, ServerView

from hostler_plugins.sandbox.own_files import import_folders

_REFUSED = re.compile(r"read-only file system|\bEROFS\b|\bEBUSY\b|device or resource busy", re.IGNORECASE)
_WHY = "hostler reads or runs it at its next start, outside of the sandbox"
_SHOWN = 3


def tell(server: ServerView, launch: Launch, kept: Sequence[Path], open_: Callable[[Path], bool]) -> None:
    """Tell which files are read-only, and what is run from folders that the server may write to (`open_`)."""
    if kept:
        text = f"{names_of(kept)}: read-only for the server, because {_WHY}"
        server.notice("sandbox_read_only", text, paths=[str(path) for path in kept])

    if imported := [folder for folder in import_folders() if open_(folder)]:
        server.notice(
            "sandbox_import_path",
            f"Python imports from {names_of(imported)}, where the server may write: what it leaves there may "
            "run outside of its sandbox at the next start; take it out of PYTHONPATH, or set cwd or writable",
            level="warning",
        )

    home = Path(launch.host_env.get("HOME", "/"))
    if home != Path("/") and open_(home):
        server.notice(
            "sandbox_home",
            f"the server may write to the home folder {home}: what your shell and other programs start from "
            "there (~/.profile, ~/.local/bin) runs outside of its sandbox; name the folders that it needs",
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
