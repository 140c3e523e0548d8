"""Events as lines for people."""

from __future__ import annotations

from hostler.cli.client.events import line_of


def test_an_event_is_one_line_whatever_its_texts_say() -> None:
    told = {"time": "2026-11-30T21:55:36Z", "server": "web", "event": "notice", "text": "one\n2026 db  crash"}
    assert line_of(told) == "2026-11-30T21:55:36Z  web  notice  text=one 2026 db  crash"
