"""docs/security.md names tests that there are, and every test of this folder."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]
PAGE = TESTS.parent / "docs" / "security.md"
FILES = sorted(file for file in Path(__file__).parent.glob("test_*.py") if file != Path(__file__))
NAMED = re.compile(r"`([\w/]+\.py)::(test_\w+)`")
ROWS = [line for line in PAGE.read_text().splitlines() if line.startswith("|") and "---" not in line]


def functions_of(file: Path) -> set[str]:
    tree = ast.parse(file.read_text())
    functions = (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))
    return {function.name for function in functions if function.name.startswith("test_")}


@pytest.mark.parametrize("row", [row for row in ROWS if not row.startswith("| attempt ")])
def test_every_line_names_tests_that_there_are(row: str) -> None:
    named = NAMED.findall(row)
    assert named
    assert row.count("|") == 4, "attempt, what stands against it, test"
    assert [name for file, name in named if name not in functions_of(TESTS / file)] == []


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_every_test_of_this_folder_is_named(file: Path) -> None:
    named = {name for where, name in NAMED.findall(PAGE.read_text()) if where == f"security/{file.name}"}
    assert sorted(functions_of(file) - named) == []
