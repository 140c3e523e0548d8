"""Tests that a page of the docs names, as `folder/file.py::test_name`, beside those that there are."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

TESTS = Path(__file__).parents[1]
DOCS = TESTS.parent / "docs"
_NAMED = re.compile(r"`([\w/]+\.py)::(test_\w+)`")


def rows(page: Path) -> list[str]:
    """The lines of its tables."""
    return [line for line in page.read_text().splitlines() if line.startswith("|") and "---" not in line]


def named_in(text: str) -> list[tuple[str, str]]:
    """The file and the name of each test that is named."""
    return _NAMED.findall(text)


@cache
def tests_in(file: Path) -> set[str]:
    """The names of the tests in a file."""
    tree = ast.parse(file.read_text())
    functions = (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))
    return {function.name for function in functions if function.name.startswith("test_")}


def missing_in(row: str) -> list[str]:
    """The tests that a line names and nobody has written."""
    return [name for file, name in named_in(row) if name not in tests_in(TESTS / file)]


def unnamed(page: Path, file: Path) -> list[str]:
    """The tests of a file that the page does not name."""
    place = str(file.relative_to(TESTS))
    return sorted(tests_in(file) - {name for where, name in named_in(page.read_text()) if where == place})
