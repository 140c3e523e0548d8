"""What `.ci/tests` says last, and how it ends."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest
from third_party_packages import WITHOUT

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / ".ci" / "tests"
FLAKY = """
from pathlib import Path
import pytest

@pytest.mark.parametrize("number", range({count}))
def test_second_time_lucky(number, request):
    seen = Path(__file__).with_name(f"seen-{{number}}")
    again, _ = seen.exists(), seen.touch()
    assert again
"""


def last_line_of_ci(folder: Path, tests: str, *words: str, **variables: str) -> tuple[int, str]:
    (folder / "test_it.py").write_text(tests)
    env = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST", "COV"))}
    env["COVERAGE_FILE"] = str(folder / "coverage")  # these tests may be measured themselves
    env["PYTEST_ADDOPTS"] = " ".join(WITHOUT[2:])
    argv = [str(SCRIPT), f"--rootdir={folder}", *words, str(folder / "test_it.py")]
    done = subprocess.run(argv, env=env | variables, capture_output=True, text=True, check=False, timeout=150)
    return done.returncode, done.stdout.strip().rpartition("\n")[2] or done.stderr


def test_what_passes_alone_is_named_last_and_forgiven_twice(tmp_path: Path) -> None:
    code, said = last_line_of_ci(tmp_path, FLAKY.format(count=2))
    assert (code, said) == (0, "test_it.py::test_second_time_lucky[1]")


@pytest.mark.parametrize(
    ("tests", "words", "variables", "said"),
    [
        (FLAKY.format(count=3), (), {}, "== more than two tests are flaky"),
        ("def test_it(): assert False", (), {}, "== failed twice: see above"),
        (
            "def test_it(): import time; time.sleep(100)",
            (),
            {"TESTS_LIMIT": "5"},
            "== the tests took longer than 5 s, and were ended",
        ),
        (
            "def other():\n    return 1\ndef test_it(): pass",
            ("--cov=test_it", "--cov-config=/dev/null", "--cov-fail-under=100"),
            {},
            "== all tests passed, but too little of the code is covered: see above",
        ),
        ("", (), {}, "== pytest ended with 5 and names no test: see above"),
    ],
    ids=["flaky", "failed", "limit", "coverage", "none"],
)
def test_what_is_wrong_ends_red_with_a_last_line_that_says_it(
    tests: str, words: tuple[str, ...], variables: dict[str, str], said: str, tmp_path: Path
) -> None:
    assert last_line_of_ci(tmp_path, tests, *words, **variables) == (1, said)


def test_every_test_that_ci_names_is_there() -> None:
    script = SCRIPT.with_name("run").read_text().replace("$bundled", "tests/integration/plugins")
    words = re.findall(r"tests/[\w/.{},]+", script)
    done = subprocess.run(
        ["bash", "-c", f"printf '%s\\n' {' '.join(words)}"], capture_output=True, text=True, check=True
    )
    named = done.stdout.split()
    assert "tests/integration/plugins/opencode/test_install.py" in named
    assert [name for name in named if not (ROOT / name).exists()] == []
