"""hostler's own log: `--log-format` and `--log-level`."""

from __future__ import annotations

import io
import json
import re
import signal
import sys
from typing import Any

import pytest
from hostler import (
    HealthReported,
    Line,
    MemorySampled,
    Notice,
    Progress,
    State,
    StateChanged,
    __version__,
)
from hostler.cli.output.decision_log import DecisionLog
from hostler_process import Configure, Run, Start

SERVER = f'''\
[servers.web]
command = ["{sys.executable}", "-c", """
import os, time
print('ready', os.environ['API_TOKEN'], flush=True)
time.sleep(100)"""]
port = false
restart = {{ policy = "never", start_retries = 0 }}
env.API_TOKEN = "s3cret-value"
'''
LINE = re.compile(
    r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z (debug|info|warning|error|output) +(web|hostler): \S.*"
)
HEAD: dict[str, Any] = {"server": "web", "generation": 1}


def test_each_decision_is_one_line_with_time_level_and_server(start: Start, configure: Configure) -> None:
    configure(text=SERVER)
    hostler = start("run", "--log-level", "debug")
    hostler.wait_for("-> running")
    hostler.wait_for("output  web: ready")
    configure(text=SERVER + 'title = "new"\n')
    hostler.send(signal.SIGHUP)
    hostler.wait_for("hostler: web: ")
    hostler.send(signal.SIGTERM)
    assert (hostler.end(), hostler.stderr) == (0, [])
    assert [line for line in hostler.stdout if not LINE.fullmatch(line)] == []
    begin = rf"\S+ info    hostler: hostler {re.escape(__version__)} supervises /\S+\.toml \(pid \d+\)"
    assert re.fullmatch(begin, hostler.stdout[0])
    assert any("hostler: stopping all servers" in line for line in hostler.stdout)
    assert any(re.search(r"debug +web: spawned pid \d+: ", line) for line in hostler.stdout)
    assert "s3cret-value" not in "\n".join(hostler.stdout)


def test_as_json_each_line_is_an_object_with_the_fields_of_its_event(
    start: Start, configure: Configure
) -> None:
    configure(text=SERVER)
    hostler = start("run", "--log-format", "json")
    hostler.wait_for('"state": "running"')
    hostler.wait_for('"event": "line"')
    hostler.send(signal.SIGTERM)
    assert (hostler.end(), hostler.stderr) == (0, [])
    lines = [json.loads(line) for line in hostler.stdout]
    running = next(one for one in lines if one.get("state") == "running")
    assert list(running)[:4] == ["time", "level", "server", "event"]
    assert (running["level"], running["server"], running["event"]) == ("info", "web", "state")
    assert f"-> running in {running['seconds']:.1f} s (pid {running['pid']})" in running["message"]
    told = [one for one in lines if one["event"] == "message"][-1]
    assert (told["level"], told["server"], told["message"]) == ("info", "", "stopping all servers")
    assert "s3cret-value" not in "\n".join(hostler.stdout)


@pytest.mark.parametrize("option", ["--quiet", "--debug", "--json"])
def test_two_ways_to_show_events_are_one_too_many(run: Run, configure: Configure, option: str) -> None:
    configure(text=SERVER)
    done = run("run", "--log-format", "text", option)
    assert done.returncode == 2
    assert "--log-format and --log-level go without --debug, --quiet and --json" in done.stderr


def test_a_level_leaves_out_what_is_less() -> None:
    events = [
        StateChanged(**HEAD, state=State.WAITING_READY, previous=State.STARTING),
        Progress(**HEAD, text="progress"),
        MemorySampled(**HEAD, rss=1, processes=1, uptime=1.0),
        Notice(**HEAD, topic="server_changed", level="info", text="said by the plan"),
        Notice(**HEAD, topic="x", level="info", text="a notice"),
        HealthReported(**HEAD, plugin="p", healthy=False, reason="ill", failures=1),
        StateChanged(**HEAD, state=State.FAILED, previous=State.CRASHED, reason="given up"),
    ]
    counts = {}
    for level in ("debug", "info", "warning", "error"):
        out = io.StringIO()
        log = DecisionLog(out, as_json=False, least=level)
        for event in events:
            log.show(event)
        log.show_message("a message\n  in two lines")
        log.show_message("an error", error=True)
        counts[level] = out.getvalue().count("\n")

    out = io.StringIO()
    log = DecisionLog(out, as_json=True, least="debug")
    log.show(events[3])  # which has a level of its own
    log.show_message("  part of a plan")
    first, second = map(json.loads, out.getvalue().splitlines())
    assert (first["level"], second["message"]) == ("debug", "part of a plan")
    assert counts == {"debug": 9, "info": 5, "warning": 3, "error": 2}


def test_lines_that_were_missed_are_told() -> None:
    out = io.StringIO()
    line = Line(text="\x1b[31mx", stream="stdout", number=3, generation=1, missed=2)
    DecisionLog(out, as_json=False, least="info").show_line("web", line)
    assert [text.partition(" ")[2] for text in out.getvalue().splitlines()] == [
        "info    hostler: web: 2 lines of output were not shown: too many came at once",
        "output  web: x",
    ]
    out.truncate(0)
    DecisionLog(out, as_json=True, least="error").show_line("web", line)
    assert json.loads(out.getvalue().lstrip("\0"))["missed"] == 2
