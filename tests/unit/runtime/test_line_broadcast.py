"""launch.follow: a plugin gets the lines of a run from the first on; when it has enough, none is cut."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import anyio
from hostler import (
    Directories,
    Event,
    Launch,
    Line,
    Notice,
    PluginSpec,
    Server,
    ServerSpec,
    State,
    Supervisor,
    hookimpl,
)
from specs import QUICK

LINES = 200_000


@dataclass(eq=False)
class Reader:
    """Takes lines until it has seen the last word."""

    last: str
    lines: list[str] = field(default_factory=list)
    breaks_at: str = ""

    @hookimpl
    async def pre_spawn(self, launch: Launch) -> None:
        launch.follow(self.read)

    def read(self, line: Line) -> bool:
        self.lines.append(line.text)
        if line.text == self.breaks_at:
            raise ValueError("it broke")
        return line.text != self.last


def printing(script: str, *readers: Reader, **fields: Any) -> ServerSpec:
    plugins = tuple(PluginSpec(f"reader-{number}", instance=one) for number, one in enumerate(readers))
    given: dict[str, Any] = {"restart": replace(QUICK, start_retries=0)} | fields
    return ServerSpec(name="printer", command=("/bin/sh", "-c", script), port=None, plugins=plugins, **given)


async def until_unread(server: Server) -> None:
    with anyio.fail_after(20):
        while (run := server._engine.run) is None or run.lines is None or run.lines.active:  # noqa: ASYNC110
            await anyio.sleep(0.01)


async def test_the_first_line_is_not_missed_and_none_is_cut_when_nobody_wants_one(
    directories: Directories,
) -> None:
    reader = Reader("two")
    spec = printing("echo one; echo two; sleep 0.2; echo three; exec sleep 60", reader)
    async with Supervisor(spec, directories=directories) as supervisor:
        await until_unread(supervisor["printer"])
        assert reader.lines == ["one", "two"]
        await anyio.sleep(0.4)
        assert reader.lines == ["one", "two"]


async def test_each_reader_has_its_own_end(directories: Directories) -> None:
    first, second = Reader("one"), Reader("three")
    spec = printing("echo one; echo two; echo three; echo four; exec sleep 60", first, second)
    async with Supervisor(spec, directories=directories) as supervisor:
        await until_unread(supervisor["printer"])
    assert first.lines == ["one"]
    assert second.lines == ["one", "two", "three"]


async def test_more_lines_than_any_queue_holds_come_in_their_order(directories: Directories) -> None:
    """server.lines() may drop; a follower is called for each line as it is taken."""
    reader = Reader("end")
    spec = printing(f"seq 1 {LINES // 20}; echo end; exec sleep 60", reader)
    async with Supervisor(spec, directories=directories) as supervisor:
        await until_unread(supervisor["printer"])
    assert reader.lines == [*map(str, range(1, LINES // 20 + 1)), "end"]


async def test_secrets_are_masked_in_what_it_reads(directories: Directories) -> None:
    reader = Reader("end")
    spec = printing(
        "echo $API_TOKEN; echo end; exec sleep 60", reader, env={"API_TOKEN": "sk-0123456789abcdef"}
    )
    allowing = PluginSpec("env-sanitizer", {"allow": ["API_TOKEN"]})
    async with Supervisor(
        replace(spec, plugins=(*spec.plugins, allowing)), directories=directories
    ) as supervisor:
        await until_unread(supervisor["printer"])

    assert reader.lines == ["********", "end"]


async def test_one_that_raises_is_told_and_hurts_nobody(directories: Directories) -> None:
    broken, other = Reader("end", breaks_at="one"), Reader("end")
    spec = printing("echo one; echo two; echo end; exec sleep 60", broken, other)
    events: list[Event] = []

    async with Supervisor(spec, directories=directories) as supervisor:
        supervisor.listen(events.append)
        await until_unread(supervisor["printer"])
        assert supervisor["printer"].state is State.RUNNING

    assert broken.lines == ["one"]
    assert other.lines == ["one", "two", "end"]
    (told,) = [
        event.text for event in events if isinstance(event, Notice) and event.topic == "follower_failed"
    ]
    assert told == "Reader.read failed at a line: ValueError('it broke')"


async def test_each_run_begins_with_its_first_line(directories: Directories) -> None:
    reader = Reader("never")
    spec = printing("echo begun; exec sleep 60", reader)
    async with Supervisor(spec, directories=directories) as supervisor:
        for number in range(1, 4):
            with anyio.fail_after(10):
                while len(reader.lines) < number:  # noqa: ASYNC110
                    await anyio.sleep(0.01)
            await supervisor["printer"].restart()

    assert set(reader.lines) == {"begun"}
