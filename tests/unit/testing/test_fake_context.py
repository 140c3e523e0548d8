"""What FakeServerContext gives to a plugin and records of it."""

from __future__ import annotations

from pathlib import Path

from hostler import ServerView, State, StateChanged
from hostler.testing import FakeServerContext


def test_a_fake_context_has_all_that_a_plugin_may_use() -> None:
    wanted = {name for name in vars(ServerView) if not name.startswith("_")}
    assert {name for name in wanted if not hasattr(FakeServerContext(), name)} == set()


async def test_a_fake_context_records_what_it_is_told(tmp_path: Path) -> None:
    server = FakeServerContext(name="web", data_dir=tmp_path)
    server.publish("TOKEN", "hush", secret=True)
    server.redact("hidden")
    server.progress("working", 0.5)
    server.notice("topic", "text", level="warning", number=3)
    assert (await server.run_command(["true"], timeout=1)).code == 0
    assert server.command_env() == {"TOKEN": "hush"}
    assert server.redacted == ["hush", "hidden"]
    assert server.progressed == ["working"]
    assert server.notices == [("topic", "text", "warning", {"number": 3})]
    assert server.commands == [("true",)]
    assert [line async for line in server.lines()] == []
    server.reported = [StateChanged(server="web", generation=1, state=State.FAILED, previous=State.CRASHED)]
    assert [event async for event in server.events()] == server.reported
    assert (server.url, server.auth, server.members()) == (None, None, [])
