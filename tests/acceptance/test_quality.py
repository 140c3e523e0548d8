"""How the project is kept: its commits, and what it says about its own tests."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CONVENTIONAL = re.compile(
    r"(feat|fix|docs|test|perf|refactor|chore|ci|build|style|revert)(\([a-z0-9-]+\))?!?: \S.*[^.]"
)


@pytest.mark.requirement("R44")
@pytest.mark.skipif(
    not (ROOT / ".git").exists() or shutil.which("git") is None,
    reason="this is no checkout with its history, or there is no git",
)
def test_every_commit_is_conventional() -> None:
    command = ["git", "-c", f"safe.directory={ROOT}", "log", "--no-merges", "--format=%s"]
    subjects = subprocess.run(
        command, cwd=ROOT, check=True, capture_output=True, text=True, timeout=20
    ).stdout
    assert subjects
    assert [line for line in subjects.splitlines() if not CONVENTIONAL.fullmatch(line)] == []
