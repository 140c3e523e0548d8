"""A launch as plugins get it, without an engine."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hostler import Launch


def a_launch(folder: Path, **fields: Any) -> Launch:
    """The launch of a server "web" whose files are all in one folder."""
    given: dict[str, Any] = {
        "server": "web",
        "generation": 1,
        "argv": ["true"],
        "cwd": folder,
        "env": {},
        "host": "127.0.0.1",
        "port": None,
        "data_dir": folder,
        "cache_dir": folder,
    }
    return Launch(**(given | fields))
