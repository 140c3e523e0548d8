"""Waiting for servers: what happens between two looks at them."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from types import SimpleNamespace
from typing import Any, cast

import pytest
from hostler.cli.client import progress
from hostler.cli.client.daemon import ClientError, Daemon, Deadline
from hostler.cli.client.progress import Waiting

ROW = {
    "name": "a",
    "state": "running",
    "completed": False,
    "wanted": "up",
    "health": "healthy",
    "generation": 1,
}


class Told:
    """A hostler that always shows the same row; real ones cannot be timed between two looks."""

    def __init__(self, *events: dict[str, Any] | None) -> None:
        self.events = events
        self.read = 0

    def get(self, target: str) -> dict[str, Any]:
        return {"servers": [ROW], "cursor": "x-1"}

    def follow(self, target: str) -> Iterator[dict[str, Any] | None]:
        assert target == "/v1/events?after=x-1"
        for event in (*self.events, *(None for _ in range(100))):
            self.read += 1
            yield event


def event(kind: str, server: str = "a", **more: object) -> dict[str, Any]:
    return {"event": kind, "server": server, **more}


@pytest.mark.parametrize(
    ("condition", "told", "breaks"),
    [
        ("ready", event("state", state="running"), True),
        ("ready", {"missed": 3}, True),
        ("ready", event("state", "b"), False),
        ("ready", event("health", healthy=False), False),
        ("healthy", event("health", healthy=False), True),
        ("healthy", event("health", healthy=True), False),
    ],
)
def test_a_break_between_two_looks_begins_the_stable_time_anew(
    monkeypatch: pytest.MonkeyPatch, condition: str, told: dict[str, Any], breaks: bool
) -> None:
    """The row looks as it did before: a restart was faster than the look."""
    ticks = count()
    monkeypatch.setattr(progress, "time", SimpleNamespace(monotonic=lambda: next(ticks) / 10))
    undisturbed, disturbed = Told(None, None, None), Told(None, told, None)
    for daemon in (undisturbed, disturbed):
        Waiting(cast("Daemon", daemon), ["a"], condition).run(Deadline(None), stable=2.0)
    assert (disturbed.read > undisturbed.read) is breaks


@pytest.mark.parametrize(("state", "hint"), [("failed", "see its log"), ("stopped", "")])
def test_what_is_stopped_is_told_without_the_advice_for_an_older_crash(state: str, hint: str) -> None:
    row = {
        **ROW,
        "state": state,
        "wanted": "down",
        "reason": "asked for",
        "restarts": {"next_try": None},
        "last_crash": {"how": "exit code 1"},
    }
    crashes = [{"hint": "see its log", "stderr": "no such table"}]
    answers = {
        "/v1/servers": {"servers": [row], "cursor": "x-1"},
        "/v1/servers/a/crashes": {"crashes": crashes},
    }
    daemon = SimpleNamespace(get=answers.__getitem__, follow=lambda _: iter(()))
    with pytest.raises(ClientError) as refusal:
        Waiting(cast("Daemon", daemon), ["a"], "ready").run(Deadline(None))
    assert refusal.value.problem.get("hint", "") == hint
    assert ("no such table" in str(refusal.value)) is bool(hint)
