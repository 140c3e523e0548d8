"""What `hostler run` writes: JSON for programs, colours for terminals, and nothing when nobody reads."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest
from hostler_process import HOSTLER, Configure, Hostler, Run, Start, Terminal

STAMP = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")


def run_json(start: Start, *words: str) -> list[dict[str, object]]:
    hostler = start("run", "--json", *words)
    hostler.wait_for('"state": "running"')
    hostler.send(signal.SIGINT)
    assert hostler.end() == 0
    assert hostler.stderr == []
    return [json.loads(line) for line in hostler.stdout]


@pytest.mark.requirement("R12")
def test_json_is_one_event_a_line_in_the_promised_shape(configure: Configure, start: Start) -> None:
    configure()
    events = run_json(start)
    for event in events:
        assert STAMP.fullmatch(str(event["time"]))
        assert list(event)[:4] == ["time", "server", "event", "generation"]
        assert (event["server"], event["generation"]) == ("fake", 1)

    states = [event for event in events if event["event"] == "state"]
    assert [(state["previous"], state["state"]) for state in states] == [
        ("stopped", "starting"),
        ("starting", "waiting_ready"),
        ("waiting_ready", "running"),
        ("running", "stopping"),
        ("stopping", "stopped"),
    ]
    running = states[2]
    assert isinstance(running["pid"], int)
    assert re.fullmatch(r"http://127\.0\.0\.1:\d+", str(running["url"]))
    assert isinstance(running["seconds"], float)
    assert {event["event"] for event in events} >= {"state", "spawned", "endpoint", "exit"}


def test_json_with_debug_holds_the_lines_of_output(configure: Configure, start: Start) -> None:
    configure("--print", "grüße ✓")
    lines = [event for event in run_json(start, "--debug") if event["event"] == "line"]
    first = {key: lines[0][key] for key in ("server", "stream", "number", "text", "generation")}
    assert first == {"server": "fake", "stream": "stdout", "number": 1, "text": "grüße ✓", "generation": 1}


TWO = """
[servers.a]
kind = "task"
command = ["sh", "-c", "echo one; echo two >&2"]
plugins = { log-rotation = true }

[servers.long-name]
kind = "task"
command = ["sh", "-c", "echo three"]
"""


def test_output_is_prefixed_with_the_name_of_its_server(
    configure: Configure, start: Start, run: Run, tmp_path: Path
) -> None:
    configure(text=TWO)
    hostler = start("run")
    assert hostler.end() == 0

    shown = sorted(line for line in hostler.stdout if " | " in line)
    assert shown == ["a         | one", "a         | two", "long-name | three"]
    told = [line for line in hostler.stdout if "log file" in line]
    path = next((tmp_path / "data").rglob("a.log"))
    assert told == [f"a task: log file {path}"]
    assert f"Log file: {path}" in run("explain", "a").stdout
    assert f"# log file of a: {path}" in run("show").stdout


@pytest.mark.parametrize(
    "words", [("--output", "none"), ("--quiet",), ("--json",), ("--", "true")], ids=" ".join
)
def test_output_is_not_shown(configure: Configure, start: Start, words: tuple[str, ...]) -> None:
    file = configure(text=TWO)
    hostler = start("run", str(file), *words)
    assert hostler.end() == 0
    assert [line for line in hostler.stdout if " | " in line or '"line"' in line] == []


def test_output_that_was_asked_for_is_all_that_quiet_shows(configure: Configure, start: Start) -> None:
    configure(text=TWO)
    hostler = start("run", "--quiet", "--output", "prefixed")
    assert hostler.end() == 0
    assert sorted(hostler.stdout) == ["a         | one", "a         | two", "long-name | three"]


BURST = """[servers.burst]
kind = "task"
command = ["sh", "-c", "seq 1 {lines}"]
"""


def test_a_burst_of_20_000_lines_is_shown_whole(configure: Configure, start: Start) -> None:
    configure(text=BURST.format(lines=20_000))
    hostler = start("run", "--debug")
    assert hostler.end() == 0

    shown = [line for line in hostler.stdout if line.startswith("burst | ")]
    assert shown == [f"burst | {number}" for number in range(1, 20_001)]


def test_more_lines_than_can_be_shown_are_counted_where_they_are_missing(
    configure: Configure, start: Start
) -> None:
    configure(text=BURST.format(lines=400_000))
    hostler = start("run", "--debug", "--json")
    assert hostler.end() == 0

    events = [json.loads(line) for line in hostler.stdout]
    lines = [event for event in events if event["event"] == "line"]
    missed = [line.get("missed", 0) for line in lines]
    told = [int(found[1]) for line in hostler.stderr if (found := re.match(r"burst: (\d+) lines", line))]
    at_end = 400_000 - len(lines) - sum(missed) - sum(told)
    if at_end:  # a machine too busy to show the last ones: no line after them could say so
        dropped = [event["details"]["lines"] for event in events if event.get("topic") == "output_dropped"]
        assert dropped[-1] == at_end
    assert sum(missed) > 0
    assert [line["number"] - before["number"] - 1 for before, line in pairwise(lines)] == missed[1:]


def test_every_line_is_written_at_once(configure: Configure, start: Start) -> None:
    configure("--announce-delay", "60")
    hostler = start("run", "--json")
    hostler.wait_for('"state": "waiting_ready"')


@pytest.mark.parametrize("words", [("--json",), ("--debug",)])
def test_characters_that_the_output_does_not_know_are_escaped(
    configure: Configure, start: Start, environ: dict[str, str], words: tuple[str, ...]
) -> None:
    configure("--print", "grüße ✓")
    hostler = start("run", "--debug", *words, env=environ | {"PYTHONIOENCODING": "ascii"})
    assert "\\u2713" in hostler.wait_for("\\u2713")
    hostler.wait_for("running" if words == ("--json",) else "started on port")
    hostler.send(signal.SIGINT)
    assert hostler.end() == 0
    assert hostler.stderr == []


# -- a terminal ----------------------------------------------------------------------------------


HIDE, SHOW = "\x1b[?25l", "\x1b[?25h"


@pytest.mark.requirement("R31")
def test_a_terminal_gets_a_spinner_and_colours_and_is_left_clean(
    configure: Configure, tmp_path: Path, environ: dict[str, str]
) -> None:
    configure("--announce-delay", "0.5")
    terminal = Terminal(tmp_path, environ, "run")
    terminal.read_until("started on port")
    assert HIDE in terminal.text
    assert "⠋ Starting fake server..." in re.sub(r"\x1b\[[0-9;]*m", "", terminal.text)
    terminal.read_until(SHOW)
    assert "\x1b[32mfake server started on port" in terminal.text
    terminal.press(b"\x03")
    assert terminal.end() == 0
    assert "press Ctrl-C again to kill" in terminal.text
    assert "fake server stopped" in terminal.text
    assert terminal.text.count(HIDE) == terminal.text.count(SHOW) == 1
    assert "Traceback" not in terminal.text


@pytest.mark.parametrize("presses", [1, 2])
def test_ctrl_c_while_the_spinner_turns_shows_the_cursor_again(
    configure: Configure, tmp_path: Path, environ: dict[str, str], presses: int
) -> None:
    configure(
        "--announce-delay", "60", "--ignore-term", force_kill_timeout='"60s"' if presses == 2 else '"200ms"'
    )
    terminal = Terminal(tmp_path, environ, "run")
    terminal.read_until(HIDE)
    wait_for_child_of(terminal)

    for _ in range(presses):
        terminal.press(b"\x03")
        terminal.read_until("press Ctrl-C again to kill")

    assert terminal.end() == 0
    assert terminal.text.rindex(SHOW) > terminal.text.rindex(HIDE)


def wait_for_child_of(terminal: Terminal) -> None:
    until = time.monotonic() + 20
    while not Path(f"/proc/{terminal.pid}/task/{terminal.pid}/children").read_text():
        assert time.monotonic() < until
        time.sleep(0.01)


def test_a_terminal_that_is_closed_stops_everything(
    configure: Configure, tmp_path: Path, environ: dict[str, str], marked: Callable[[str], list[int]]
) -> None:
    configure("--first", str(tmp_path / "mark"))
    terminal = Terminal(tmp_path, environ, "run")
    terminal.read_until("started on port")
    os.close(terminal.fd)
    _, status = os.waitpid(terminal.pid, 0)
    assert os.waitstatus_to_exitcode(status) in {0, 1}
    assert marked(str(tmp_path / "mark")) == []


def test_a_failure_on_a_terminal_is_red_and_ends_the_spinner(
    configure: Configure, tmp_path: Path, environ: dict[str, str]
) -> None:
    configure("--exit-after", "0", "--print-error", "[bold]no markup[/bold]")
    terminal = Terminal(tmp_path, environ, "run")
    assert terminal.end() == 1
    assert "\x1b[31mfake server failed" in terminal.text
    assert "[bold]no markup[/bold]" in terminal.text
    assert terminal.text.rindex(SHOW) > terminal.text.rindex(HIDE)


def test_no_colours_where_the_user_wants_none(
    configure: Configure, tmp_path: Path, environ: dict[str, str]
) -> None:
    configure()
    terminal = Terminal(tmp_path, environ | {"NO_COLOR": "1"}, "run")
    terminal.read_until("started on port")
    terminal.press(b"\x03")
    assert terminal.end() == 0
    assert "\x1b[32m" not in terminal.text


# -- nobody reads --------------------------------------------------------------------------------


@pytest.mark.parametrize("words", [(), ("--json",), ("--debug",)])
def test_output_that_nobody_reads_any_more_stops_everything_in_order(
    configure: Configure,
    start: Start,
    marked: Callable[[str], list[int]],
    tmp_path: Path,
    words: tuple[str, ...],
) -> None:
    configure("--announce-delay", "0.3", "--first", str(tmp_path / "mark"))
    read, write = os.pipe()
    hostler = start("run", *words, stdout=write)
    os.close(write)
    assert os.read(read, 1)
    os.close(read)
    assert hostler.end() == 1
    assert hostler.stderr == []
    assert marked(str(tmp_path / "mark")) == []


def test_a_command_goes_on_when_nobody_reads_what_hostler_says(
    configure: Configure, start: Start, tmp_path: Path
) -> None:
    configure("--announce-delay", "0.3")
    read, write = os.pipe()
    hostler = start("run", "--", "sh", "-c", "echo done", stderr=write)
    os.close(write)
    os.close(read)
    assert hostler.end() == 0
    assert hostler.stdout == ["done"]


@pytest.mark.parametrize("redirection", [">&-", ">&- 2>&-", "> /dev/full", "> /dev/full 2>&1"])
def test_output_that_cannot_be_written_at_all_is_left_out(
    configure: Configure, tmp_path: Path, environ: dict[str, str], redirection: str
) -> None:
    configure(text='[servers.task]\ncommand = ["sleep", "0.3"]\nport = false\n')
    argv = " ".join([*HOSTLER, "run", redirection])
    done = subprocess.run(
        ["sh", "-c", argv], cwd=tmp_path, env=environ, timeout=30, check=False, capture_output=True, text=True
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_it_listens_to_nobody_when_it_is_alone(configure: Configure, start: Start) -> None:
    """A reader that comes late gets all of it: nothing is dropped for being slow."""
    configure("--flood", "300000")
    hostler: Hostler = start("run", "--json", "--debug")
    hostler.wait_for("line 0000002999")
    numbers = [json.loads(line)["number"] for line in hostler.stdout if '"event": "line"' in line]
    assert numbers == list(range(1, len(numbers) + 1))
