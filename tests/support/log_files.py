"""Log files for tests of log-rotation, and children that write them."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hostler_plugins.log_rotation.sink import LogFile


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "logs" / "web.log"


@pytest.fixture
def log(path: Path) -> Iterator[Callable[..., LogFile]]:
    """Opens log files, and closes them at the end."""
    logs: list[LogFile] = []

    def make(path: Path = path, **options: Any) -> LogFile:
        values: dict[str, Any] = {"max_size": 10_000_000, "keep": 5, "timestamps": False}
        logs.append(LogFile(path, **(values | options)))
        logs[-1].open()
        return logs[-1]

    yield make

    for one in logs:
        with contextlib.suppress(OSError):
            one.close()
