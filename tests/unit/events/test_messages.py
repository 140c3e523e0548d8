"""Every event has words, a loudness, and one shape in JSON."""

from __future__ import annotations

import json
import logging
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import hostler.events.events
import pytest
from crashes import crash
from hostler import (
    CrashRecorded,
    Endpoint,
    EndpointFound,
    Event,
    Exit,
    ExitCause,
    Exited,
    HealthReported,
    Healthy,
    MemoryPoint,
    MemorySampled,
    Notice,
    PluginFailed,
    PluginNote,
    Progress,
    RestartScheduled,
    Spawned,
    State,
    StateChanged,
    StreamEvent,
    StreamGap,
    StreamReceived,
    Unhealthy,
)
from hostler.events.crash_words import what_followed
from hostler.events.messages import in_words, log_level

NOON = datetime(2026, 1, 2, 3, 4, 5, 678_000, UTC)
HEAD: dict[str, Any] = {"server": "opencode", "generation": 1, "time": NOON}
URL = "http://127.0.0.1:52341"
STAMP = {"time": "2026-01-02T03:04:05.678Z", "server": "opencode", "generation": 1}
CRASH = crash(
    server="opencode",
    when=NOON,
    next_try=NOON,
    how="killed by SIGKILL",
    reason="it died",
    hint="look",
    code=None,
    signal=9,
    memory=(MemoryPoint(0.2, 1024, 2),),
    plugins=(PluginNote("mine", "on_crash", "advised to back off"),),
)

ONE_OF_EACH: list[tuple[Event, str, int, dict[str, object]]] = [
    (
        StateChanged(
            **HEAD, state=State.RUNNING, previous=State.WAITING_READY, pid=4711, url=URL, seconds=0.84
        ),
        f"waiting_ready -> running in 0.8 s at {URL} (pid 4711)",
        logging.INFO,
        {
            "event": "state",
            "state": "running",
            "previous": "waiting_ready",
            "pid": 4711,
            "url": URL,
            "reason": "",
            "seconds": 0.84,
            "error": None,
        },
    ),
    (
        Spawned(
            **HEAD,
            pid=4711,
            argv=("opencode", "serve"),
            cwd="/code",
            env={"HOME": "/root"},
            origins={"HOME": "env"},
            removed={"LANG": "plugin env-sanitizer"},
        ),
        "spawned pid 4711: opencode serve (in /code)",
        logging.DEBUG,
        {
            "event": "spawned",
            "pid": 4711,
            "argv": ["opencode", "serve"],
            "cwd": "/code",
            "env": {"HOME": "/root"},
            "origins": {"HOME": "env"},
            "removed": {"LANG": "plugin env-sanitizer"},
            "log_file": None,
        },
    ),
    (
        EndpointFound(**HEAD, endpoint=Endpoint("127.0.0.1", 52341), source="regex-port"),
        f"listens at {URL} (found by regex-port)",
        logging.DEBUG,
        {"event": "endpoint", "endpoint": URL, "source": "regex-port"},
    ),
    (
        HealthReported(
            **HEAD,
            plugin="sse-health",
            healthy=False,
            reason="503",
            failures=2,
            report=Unhealthy("503", {"body": "long"}),
        ),
        "unhealthy (sse-health, 2 in a row): 503",
        logging.WARNING,
        {
            "event": "health",
            "plugin": "sse-health",
            "healthy": False,
            "reason": "503",
            "failures": 2,
            "details": {},
            "latency": None,
        },
    ),
    (
        Exited(
            **HEAD,
            exit=Exit(ExitCause.EXITED, 1, code=3, pid=4711, ready=True, uptime=1.23456, stderr="boom\n"),
        ),
        "ended: exit code 3 after 1.2 s",
        logging.INFO,
        {
            "event": "exit",
            "cause": "exited",
            "pid": 4711,
            "code": 3,
            "signal": None,
            "description": "exit code 3",
            "uptime": 1.235,
            "stderr": "boom\n",
        },
    ),
    (
        RestartScheduled(**HEAD, used=3, allowed=5, delay=4.0),
        "3 of 5 restarts used, next try in 4.0 s",
        logging.INFO,
        {"event": "restart", "used": 3, "allowed": 5, "delay": 4.0, "first_start": False},
    ),
    (
        CrashRecorded(**HEAD, record=CRASH),
        "crash on record: killed by SIGKILL after 3.8 s; restart 1 of 5",
        logging.DEBUG,
        {
            "event": "crash",
            "when": "2026-01-02T03:04:05.678Z",
            "cause": "exited",
            "how": "killed by SIGKILL",
            "reason": "it died",
            "outcome": "backoff",
            "decision": "",
            "error": "ServerCrashed",
            "hint": "look",
            "pid": 4711,
            "code": None,
            "signal": 9,
            "ready": True,
            "killed": False,
            "uptime": 3.8,
            "restarts_used": 1,
            "restarts_allowed": 5,
            "first_start": False,
            "next_try": "2026-01-02T03:04:05.678Z",
            "stdout": "out\n",
            "stderr": "err\n",
            "memory": [{"uptime": 0.2, "rss": 1024, "processes": 2, "cpu": 0.0}],
            "plugins": [{"plugin": "mine", "hook": "on_crash", "text": "advised to back off"}],
            "number": 0,
        },
    ),
    (
        PluginFailed(**HEAD, plugin="mine", hook="on_ready", reason="kaput", seconds=0.5, disabled=True),
        "plugin mine failed in on_ready: kaput; the hook has been disabled",
        logging.WARNING,
        {
            "event": "plugin_failed",
            "plugin": "mine",
            "hook": "on_ready",
            "reason": "kaput",
            "seconds": 0.5,
            "disabled": True,
        },
    ),
    (
        Progress(**HEAD, text="downloading", fraction=0.254),
        "downloading (25%)",
        logging.INFO,
        {"event": "progress", "text": "downloading", "fraction": 0.254},
    ),
    (
        Notice(
            **HEAD, topic="env_withheld", text="2 withheld", details={"names": ("A", "B"), "at": Path("/x")}
        ),
        "2 withheld",
        logging.INFO,
        {
            "event": "notice",
            "topic": "env_withheld",
            "text": "2 withheld",
            "level": "info",
            "details": {"names": ["A", "B"], "at": "/x"},
        },
    ),
    (
        MemorySampled(**HEAD, rss=150 * 2**20, processes=2, uptime=61.2),
        "uses 150 MiB in 2 processes after 61 s",
        logging.INFO,
        {"event": "memory", "rss": 150 * 2**20, "processes": 2, "uptime": 61.2, "cpu": 0.0},
    ),
    (
        StreamReceived(**HEAD, item=StreamEvent("server.connected", "{}", "7")),
        "event server.connected: {}",
        logging.DEBUG,
        {"event": "stream", "type": "server.connected", "data": "{}", "id": "7"},
    ),
    (
        StreamReceived(**HEAD, item=StreamGap("reconnected", 3)),
        "gap in the event stream: reconnected",
        logging.DEBUG,
        {"event": "stream", "gap": "reconnected", "missed": 3},
    ),
]

VARIANTS: list[tuple[Event, str, int]] = [
    (
        StateChanged(**HEAD, state=State.CRASHED, previous=State.RUNNING, reason="killed by SIGKILL"),
        "running -> crashed: killed by SIGKILL",
        logging.WARNING,
    ),
    (
        StateChanged(**HEAD, state=State.FAILED, previous=State.CRASHED, reason="gave up", error="it failed"),
        "crashed -> failed: gave up",
        logging.ERROR,
    ),
    (
        HealthReported(**HEAD, plugin="sse-health", healthy=True, report=Healthy()),
        "healthy (sse-health)",
        logging.DEBUG,
    ),
    (
        EndpointFound(**HEAD, endpoint=Endpoint("127.0.0.1", 52341), source="configuration"),
        f"listens at {URL} (the port that it was given)",
        logging.DEBUG,
    ),
    (
        HealthReported(**HEAD, plugin="mine", healthy=None, reason="RuntimeError: kaput"),
        "health unknown: mine failed: RuntimeError: kaput",
        logging.WARNING,
    ),
    (
        Exited(**HEAD, exit=Exit(ExitCause.STOPPED, 1, signal=15, pid=4711, uptime=2.0, killed=True)),
        "stopped by SIGTERM after 2.0 s",
        logging.INFO,
    ),
    (
        RestartScheduled(**HEAD, used=1, allowed=5, delay=0.0),
        "1 of 5 restarts used, next try now",
        logging.INFO,
    ),
    (
        RestartScheduled(**HEAD, used=1, allowed=1, delay=0.5, first_start=True),
        "try 2 of 2 in 0.5 s",
        logging.INFO,
    ),
    (
        PluginFailed(**HEAD, plugin="mine", hook="parse_port", reason="kaput"),
        "plugin mine failed in parse_port: kaput",
        logging.WARNING,
    ),
    (
        PluginFailed(server="", generation=0, plugin="mine", hook="listen", reason="kaput", disabled=True),
        "listener mine failed: kaput; it is called no more",
        logging.WARNING,
    ),
    (Progress(**HEAD, text="installing"), "installing", logging.INFO),
    (Notice(**HEAD, topic="still_alive", text="1 is alive", level="warning"), "1 is alive", logging.WARNING),
    (
        MemorySampled(**HEAD, rss=2**20, processes=1, uptime=1.0),
        "uses 1 MiB in 1 process after 1 s",
        logging.INFO,
    ),
]


@pytest.mark.parametrize(("event", "words", "level"), [row[:3] for row in ONE_OF_EACH] + VARIANTS)
def test_an_event_has_words_and_a_loudness(event: Event, words: str, level: int) -> None:
    assert in_words(event) == words
    assert log_level(event) == level


@pytest.mark.parametrize(("event", "own"), [(row[0], row[3]) for row in ONE_OF_EACH])
def test_an_event_has_one_shape_in_json(event: Event, own: dict[str, object]) -> None:
    assert json.loads(json.dumps(event.as_dict())) == STAMP | own


KINDS = {
    kind
    for kind in vars(hostler.events.events).values()
    if isinstance(kind, type) and issubclass(kind, Event) and kind is not Event
}


def test_no_class_of_events_was_forgotten_here() -> None:
    assert {type(event) for event, *_ in ONE_OF_EACH} == KINDS


def test_every_kind_has_a_name_and_words_of_its_own() -> None:
    assert len({kind.kind for kind in KINDS} | {Event.kind}) == len(KINDS) + 1
    assert all(in_words.dispatch(kind) is not in_words.dispatch(Event) for kind in KINDS)


def test_an_event_without_words_is_called_by_its_kind() -> None:
    assert in_words(Event(**HEAD)) == "event"


def test_time_is_written_in_utc_whatever_the_clock() -> None:
    there = NOON.astimezone(timezone(timedelta(hours=5, minutes=30)))
    assert Event(server="s", generation=1, time=there).as_dict()["time"] == "2026-01-02T03:04:05.678Z"


def test_the_order_of_keys_is_time_server_event_generation_then_the_rest() -> None:
    event = ONE_OF_EACH[0][0]
    keys = "time server event generation state previous pid url reason seconds error"
    assert list(event.as_dict()) == keys.split()


@pytest.mark.parametrize(
    ("outcome", "decision", "words"),
    [
        (State.BACKOFF, "", "restart 1 of 5"),
        (State.FAILED, "gave up after 5 restarts", "failed: gave up after 5 restarts"),
        (State.STOPPED, "", "stopped"),
    ],
)
def test_what_followed_a_crash_is_told_in_words(outcome: State, decision: str, words: str) -> None:
    assert what_followed(replace(CRASH, outcome=outcome, decision=decision)) == words


@pytest.mark.parametrize(
    ("exit_", "words"),
    [
        (Exit(ExitCause.EXITED, 1, code=0), "exit code 0"),
        (Exit(ExitCause.EXITED, 1, signal=9), "killed by SIGKILL"),
        (Exit(ExitCause.EXITED, 1, signal=63), "killed by signal 63"),
        (Exit(ExitCause.SPAWN_FAILED, 1), "not started"),
    ],
)
def test_an_exit_is_told_in_words(exit_: Exit, words: str) -> None:
    assert exit_.description == words
