"""What runs as another user, who may take it over, holds nothing of ours."""

import os
import sys
from pathlib import Path

import pytest
from hostler.files.run_as import run_as
from hostler_process import Terminal

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can be several users")

UID = 2002
TYPES = """
from hostler.files.run_as import run_as
code, text = run_as(2002, 2002, [], ["/bin/sh", "-c", ": < /dev/tty && echo typed"], most=99, seconds=10)
print("answer:", text, "end")
"""


def test_it_has_no_terminal_at_which_it_could_type(tmp_path: Path) -> None:
    terminal = Terminal(tmp_path, dict(os.environ), "-c", TYPES, program=[sys.executable])
    assert terminal.end() == 0
    assert "answer: b'' end" in terminal.text


def test_what_it_says_without_end_and_a_stop_of_it_hold_nobody_up() -> None:
    with pytest.raises(TimeoutError):
        run_as(UID, UID, [], ["/bin/sh", "-c", "kill -STOP $$"], most=0, seconds=0.1)
    with pytest.raises(TimeoutError):
        run_as(UID, UID, [], ["/bin/sh", "-c", "cat /dev/zero"], most=10, seconds=0.1)
