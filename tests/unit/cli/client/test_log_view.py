"""How lines of logs are shown, and which are asked for."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hostler.cli.client.commands import CLIENT_COMMANDS
from hostler.cli.client.log_query import literal_of
from hostler.cli.client.log_view import LogView
from hostler.cli.client.output import Output
from hostler.cli.command_line import read_call
from hypothesis import given, settings
from hypothesis import strategies as st


def line(text: str, *, server: str = "web", run: int | None = 1, pid: int | None = 7) -> dict[str, Any]:
    time = "2026-01-02T08:02:59.120Z"
    return {"time": time, "server": server, "stream": "stdout", "run": run, "pid": pid, "text": text}


def shown(capsys: pytest.CaptureFixture[str], lines: list[dict[str, Any]], *words: str) -> list[str]:
    view = LogView(
        read_call(CLIENT_COMMANDS["logs"], words), Output(as_json=False, quiet=False), ["web", "db"]
    )
    view.show(lines)
    return capsys.readouterr().out.splitlines()


def test_a_mark_stands_where_a_run_begins_and_nowhere_else(capsys: pytest.CaptureFixture[str]) -> None:
    lines = [
        line("a", run=None, pid=None),
        line("b", pid=None),
        line("c"),
        line("d", pid=8),
        line("e", run=2),
    ]
    assert shown(capsys, lines, "--no-time", "--no-prefix") == [
        *("a", "b", "c", "--- web: run 1 began (pid 8) ---", "d", "--- web: run 2 began (pid 7) ---", "e")
    ]


def test_only_raw_lets_a_server_steer_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    steering = "\x1b[2Jgone\x07"
    assert shown(capsys, [line(steering)], "--no-time") == ["web | gone\ufffd"]
    assert shown(capsys, [line(steering), line("", run=2)], "--raw") == [steering, ""]


@pytest.mark.parametrize(("plain", "coloured"), [("", True), ("1", False)])
def test_names_have_colours_on_a_terminal_unless_they_are_not_wanted(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, plain: str, coloured: bool
) -> None:
    monkeypatch.setenv("NO_COLOR", plain)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    assert ("\x1b[36mweb | \x1b[0ma" in "".join(shown(capsys, [line("a")]))) is coloured


@settings(max_examples=500)
@given(
    st.lists(
        st.sampled_from([*"ab. #*+?^$|[](){}1,-\\", "{1,2}", "[^b]", "(?:", "(?#", "(?i)", "\\d", "\\."]),
        max_size=9,
    ),
    st.text("abAB.1 #{}*", max_size=12),
)
def test_what_a_pattern_finds_has_its_literal(words: list[str], text: str) -> None:
    pattern = "".join(words)
    try:
        found = re.search(pattern, text)
    except (re.error, FutureWarning):
        return
    assert found is None or literal_of(pattern) in text


@pytest.mark.parametrize(
    ("pattern", "literal"),
    [
        ("error", "error"),
        ("^get .*timeout$", "timeout"),
        (r"took \d+ms", "took "),
        ("line 12[0-9]+ of", "line 12"),
        (r"a\.b(c|d)?", "a.b"),
        ("lines? lost", " lost"),
        ("a|b", ""),
        ("{*|}a", ""),
        ("(?i)error", ""),
    ],
)
def test_the_longest_text_of_a_pattern_is_looked_for_first(pattern: str, literal: str) -> None:
    assert literal_of(pattern) == literal
