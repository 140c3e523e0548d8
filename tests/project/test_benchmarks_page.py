"""The page of the benchmarks shows the rows of one run."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
ROW = {
    "question": "one question",
    "hostler": "2.00 ms (1.00 to 3.00)",
    "beside": "circus: 4.00 ms",
    "ratio": "0.50",
}
MACHINE = {
    "quick": False,
    "hostler": "0.1.0 (abc)",
    "python": "3.11.7",
    "system": "Linux 6.1",
    "cpu": "2 x CPU",
    "before": "load 0.10",
    "after": "load 0.20",
    "minutes": 12.3,
    "peers": {"circus": "0.19.0"},
}


def publish(folder: Path, *words: str) -> int:
    argv = [sys.executable, str(folder / "publish.py"), *words]
    return subprocess.run(argv, check=False, capture_output=True).returncode


def test_a_run_is_filled_in_and_a_page_that_differs_from_it_is_told(tmp_path: Path) -> None:
    for name in ("publish.py", "measuring.py", "README.md"):
        shutil.copy(BENCHMARKS / name, tmp_path)
    rows = [
        ROW | {"goal": "under 1 ms", "met": False, "title": ""},
        ROW | {"goal": "", "met": None, "title": ""},
    ]
    run, page = tmp_path / "rows.json", tmp_path / "README.md"
    run.write_text(json.dumps({"machine": MACHINE, "rows": rows}))

    for _ in range(2):  # the second time over the first
        assert publish(tmp_path, str(run)) == 0
    shown = page.read_text()

    assert shown.count("| one question |") == 2
    assert "0 of 1 goals are met" in shown
    assert "- one question: 2.00 ms (1.00 to 3.00); 0.50 x of circus: 4.00 ms; goal: under 1 ms" in shown
    assert "What the misses come from" in shown
    assert publish(tmp_path, "--check") == 0
    page.write_text(shown.replace("2.00 ms", "1.90 ms"))
    assert publish(tmp_path, "--check") == 1


def test_a_quick_run_is_not_shown(tmp_path: Path) -> None:
    run = tmp_path / "rows.json"
    run.write_text(json.dumps({"machine": MACHINE | {"quick": True}, "rows": []}))
    assert publish(BENCHMARKS, str(run)) == 2


def test_the_page_shows_the_run_that_is_kept() -> None:
    if not (BENCHMARKS / "published.json").exists():
        pytest.skip("no run of all rows has been published")
    assert publish(BENCHMARKS, "--check") == 0
