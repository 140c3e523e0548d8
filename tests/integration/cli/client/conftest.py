"""A project whose servers are in the background."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from controlled import short_folder
from hostler_process import Run


@pytest.fixture
def environ(environ: dict[str, str]) -> Iterator[dict[str, str]]:
    """With a short runtime folder: the sockets' paths must fit into 100 bytes."""
    with short_folder() as folder:
        yield environ | {"XDG_RUNTIME_DIR": str(folder)}


@pytest.fixture
def project(tmp_path: Path, run: Run) -> Iterator[Path]:
    """A folder in which nothing runs any more at the end."""
    yield tmp_path
    if (tmp_path / "hostler.toml").exists():
        run("down", "--force")
