"""Every line of requirements.toml that is claimed as done has a test that shows it."""

from __future__ import annotations

import ast
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path

TESTS = Path(__file__).parents[1]
LINES = tomllib.loads(Path(__file__).with_name("requirements.toml").read_text())


def marks_of(tree: ast.AST) -> Iterator[tuple[str, str]]:
    """Each test function with each requirement that it is marked with."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            for mark in node.decorator_list:
                if isinstance(mark, ast.Call) and ast.unparse(mark.func) == "pytest.mark.requirement":
                    yield from ((node.name, ast.literal_eval(argument)) for argument in mark.args)


@cache
def shown() -> dict[str, list[str]]:
    """The tests of each requirement, read from the sources: whatever is selected, the answer is the same."""
    tests: dict[str, list[str]] = {}
    for file in sorted(TESTS.rglob("test_*.py")):
        text = file.read_text()
        for test, number in marks_of(ast.parse(text)) if "mark.requirement" in text else ():
            tests.setdefault(number, []).append(f"{file.relative_to(TESTS)}::{test}")
    return tests


def test_each_line_that_is_claimed_as_done_has_a_test() -> None:
    assert [number for number, line in LINES.items() if line["done"] and number not in shown()] == []


def test_each_mark_names_a_line_that_exists() -> None:
    assert {number: tests for number, tests in shown().items() if number not in LINES} == {}


def test_the_lines_are_numbered_without_gaps_and_say_what_is_missing() -> None:
    assert list(LINES) == [f"R{number}" for number in range(1, 49)]
    assert all(line["sentence"].endswith(".") for line in LINES.values())
    assert [number for number, line in LINES.items() if not line["done"] and not line.get("missing")] == []
