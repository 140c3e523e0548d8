"""What `hostler top` says of a server, and its lines of memory."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
from hostler.cli.top.history import History
from hostler.cli.top.words import (
    HELP,
    change_line,
    chosen_lines,
    counts,
    event_line,
    explained,
    log_line,
    spark_width,
    style_of,
)
from hostler.client import LogRun
from hostler.control.server_shapes import MemorySample, ServerRow

NOW = datetime(2026, 11, 30, 12, 0, tzinfo=UTC)
TIME = "2026-11-30T12:00:00.000Z"


def row(**changed: Any) -> ServerRow:
    known: dict[str, Any] = dict.fromkeys(ServerRow.__struct_fields__)
    known |= {"name": "web", "kind": "server", "wanted": "up", "state": "running", "health": "healthy"}
    known |= {"restarts": {"used": 1, "allowed": 5, "next_try": None, "total": 7}, "pid": 10}
    known |= {
        "autostart": True,
        "completed": False,
        "lease_count": 0,
        "stop_asked": False,
        "generation": 2,
        "crashes": 0,
        "events": 0,
    }
    known |= {"health_words": [], "hooks_out": [], "needs": [], "reason": ""}
    return msgspec.convert(known | changed, ServerRow)


def sample(minutes: float, mib: int, cpu: float = 0.0, generation: int = 2) -> MemorySample:
    time = (NOW - timedelta(minutes=minutes)).isoformat()
    return MemorySample(time=time, generation=generation, rss=mib << 20, processes=1, cpu_seconds=cpu)


def test_memory_is_a_bar_for_each_minute_of_the_hour() -> None:
    history = History()
    assert history.spark("web", 60, NOW) == " " * 60
    samples = [sample(61, 900), sample(59.5, 1), sample(2.5, 4), sample(2.2, 8), sample(0.1, 4)]
    history.keep("web", samples)
    assert history.spark("web", 60, NOW) == "▁" + " " * 56 + "█ ▄"
    assert history.spark("web", 3, NOW) == "█ ▄"
    assert chosen_lines(row(), history, NOW, 80).endswith(" " * 56 + "█ ▄")
    assert chosen_lines(row(), history, NOW, 60).splitlines()[1] == "memory to 900 MiB " + " " * 39 + "█ ▄"


def test_cpu_is_that_of_the_present_run() -> None:
    history = History()
    history.keep("web", [sample(0.5, 1, 90.0, generation=1), sample(0.2, 1, 1.0)])
    assert history.cpu(row()) is None
    history.keep("web", [sample(1, 1, 90.0, generation=1), sample(0.5, 1, 1.0), sample(0, 1, 16.0)])
    assert history.cpu(row()) == pytest.approx(0.5)
    assert history.cpu(row(pid=None)) is None


def test_samples_are_asked_for_when_there_are_newer_ones() -> None:
    history, memory = History(), {"rss": 1, "processes": 1, "at": sample(0, 1).time}
    assert history.lacks(row())
    assert history.lacks(row(pid=None, state="failed"))  # what it used before it was given up
    assert history.lacks(row(memory=memory))
    history.keep("web", [sample(0, 1)])
    assert not history.lacks(row(memory=memory))
    assert not history.lacks(row())
    assert not history.lacks(row(pid=None))


def test_a_server_is_explained_by_all_that_is_known_of_it() -> None:
    word = {"plugin": "http-health", "healthy": False, "reason": "503", "since": TIME}
    crash = {"number": 4, "when": TIME, "how": "killed by SIGKILL", "decision": "restart 1 of 5"}
    sick = row(
        since=TIME,
        reason="it was slow",
        needs=["db"],
        stuck="pre_spawn of opencode",
        health="unhealthy",
        health_words=[word, word | {"healthy": None, "reason": ""}],
        last_crash=crash,
        hooks_out=["opencode.on_ready"],
    )
    text = "\n".join(explained(sick, NOW))
    for sentence in (
        "web is running, unhealthy since ",
        "The reason: it was slow.",
        "It needs: db.",
        "Stuck: pre_spawn of opencode.",
        "Health by http-health: unhealthy, 503.",
        "Health by http-health: unknown.",
        "Restarts: 1 of 5 used, 7 in all.",
        "killed by SIGKILL; restart 1 of 5. c shows it.",
        "Disabled after failures: opencode.on_ready.",
    ):
        assert sentence in text
    waiting = row(last_crash=crash | {"decision": ""})  # as while it waits for its next start
    assert "killed by SIGKILL. c shows it." in "\n".join(explained(waiting, NOW))
    assert (style_of(sick), style_of(row()), style_of(row(pid=None, state="backoff"))) == ("red", "green", "")


def test_states_are_counted_and_events_are_lines_without_orders() -> None:
    assert counts([]) == "no servers"
    assert counts([row(), row(state="waiting_ready"), row()]) == "2 running, 1 waiting ready"
    event = {"time": TIME, "server": "web", "event": "state", "previous": "running", "state": "crashed"}
    assert event_line(event | {"reason": "a\x1b[2J\nb"}, NOW).endswith(" web: running -> crashed: a b")
    restart = {"time": TIME, "server": "web", "event": "restart", "used": 1, "allowed": 5, "delay": 0.25}
    assert event_line(restart, NOW).endswith(" web: restart 1 of 5 in 0.2 s")
    notice = {"time": TIME, "server": "web", "event": "notice", "text": "slow"}
    assert event_line(notice, NOW) == f"{NOW.astimezone():%H:%M:%S} web notice text=slow"
    old, new = row(since="2026-11-30T11:00:00.000Z"), row(since=TIME, state="failed", reason="gave up")
    assert change_line([row(), new, old], NOW) == f"{NOW.astimezone():%H:%M:%S} web: failed: gave up"
    assert change_line([row()], NOW) == "no event yet"


def test_a_run_that_has_no_process_is_marked_without_one() -> None:
    run = LogRun(time=TIME, server="web", run=3, pid=None)
    assert log_line(run) == f"--- {NOW.astimezone():%H:%M:%S} run 3 began ---"


def test_the_help_fits_a_terminal_of_80_columns() -> None:
    assert max(map(len, HELP.splitlines())) <= 64
    assert HELP.count("\n") < 18


def test_the_table_has_memory_where_there_is_room() -> None:
    assert [spark_width(columns) for columns in (80, 119, 120, 200)] == [0, 0, 10, 60]
