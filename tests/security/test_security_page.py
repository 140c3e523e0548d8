"""docs/security.md names tests that there are, and every test of this folder."""

from __future__ import annotations

from pathlib import Path

import pytest
from named_tests import DOCS, missing_in, named_in, rows, unnamed

PAGE = DOCS / "security.md"
FILES = sorted(file for file in Path(__file__).parent.glob("test_*.py") if file != Path(__file__))


@pytest.mark.parametrize("row", [row for row in rows(PAGE) if not row.startswith("| attempt ")])
def test_every_line_names_tests_that_there_are(row: str) -> None:
    assert named_in(row)
    assert row.count("|") == 4, "attempt, what stands against it, test"
    assert missing_in(row) == []


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_every_test_of_this_folder_is_named(file: Path) -> None:
    assert unnamed(PAGE, file) == []


def test_each_attempt_stands_there_once() -> None:
    attempts = [row.split("|")[1] for row in rows(PAGE) if not row.startswith("| attempt ")]
    assert sorted(attempts) == sorted(set(attempts))
