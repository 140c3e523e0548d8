"""A user of its own for every acceptance test."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from cli_project import Freezer, eventually


@pytest.fixture
def freezer(tmp_path: Path) -> Iterator[Freezer]:
    """A freezer of the test's own, where the system has one."""
    root = Path("/sys/fs/cgroup/freezer")
    if not os.access(root, os.W_OK):
        pytest.skip(
            "nothing outlives SIGKILL here: there is no freezer (control groups version 1) to write to"
        )

    freezer = Freezer(root / f"hostler-{os.getpid()}-{tmp_path.name}")
    freezer.folder.mkdir()
    yield freezer
    freezer.thaw()
    eventually(lambda: (freezer.folder / "cgroup.procs").read_text() == "")
    freezer.folder.rmdir()
