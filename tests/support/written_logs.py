"""Logs that are written as log-rotation does, without a server."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hostler import LogIndex
from hostler.control.log_history import ServerLog
from hostler_plugins.log_rotation.sink import LogFile


class Writer:
    """One server's log, written run after run."""

    def __init__(self, folder: Path, server: str = "web", **options: Any) -> None:
        self.log = ServerLog(server, folder / f"{server}.log")
        self.options: dict[str, Any] = {"max_size": 10_000_000, "keep": 50} | options
        self.run = 0
        self.begin()

    def begin(self) -> None:
        self.run += 1
        index = LogIndex(self.run, pid=lambda: 100 + self.run)
        self.file = LogFile(self.log.path, **({"index": index} | self.options))
        self.file.open()

    def again(self) -> None:
        self.file.close()
        self.begin()
