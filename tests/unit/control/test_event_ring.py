"""The ring of events against a model: resumed exactly, or one gap and a snapshot that is right."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import anyio
import pytest
from controlled import controlled
from hostler import Directories, Event, Notice, ServerSpec
from hostler.control import event_ring as ring_module
from hostler.control import event_stream
from hostler.control.event_ring import EventRing
from hostler.control.event_stream import EventFeed, EventStream
from hostler.supervisor.handle import engine_of
from hypothesis import given, settings
from hypothesis import strategies as st

NAMES = ("web", "db", "build")


class Servers:
    """Stands in for a supervisor, of which a ring uses `listen` alone: thousands of events take no time.

    The state of each of its servers is the number of the event that changed it last.
    """

    def __init__(self) -> None:
        self.states: dict[str, int] = {}
        self._count = 0
        self._listener: Callable[[Event], None] = lambda event: None

    def listen(self, listener: Callable[[Event], None]) -> Callable[[], None]:
        self._listener = listener
        return lambda: None

    def change(self, name: str, text: str = "") -> None:
        self._count += 1
        self.states[name] = self._count
        self._listener(
            Notice(server=name, generation=1, topic="t", text=text, details={"state": self._count})
        )


class Client:
    """Follows the events, as the documentation tells it: after a gap it reads the snapshot and its cursor."""

    def __init__(self, servers: Servers, ring: EventRing) -> None:
        self._servers, self._ring = servers, ring
        self.gaps: list[int | None] = []
        self.seen: list[int] = []
        self.states: dict[str, int] = {}
        self._at = 0
        self._cursor = ""
        self._snapshot()

    async def follow(self, frames: int) -> None:
        """Connect, take so many frames, and lose the connection."""

        async def write(data: bytes) -> None:
            nonlocal frames
            for frame in data.decode().split("\n\n"):
                fields = dict(line.split(": ", 1) for line in frame.splitlines() if not line.startswith(":"))
                if fields and frames:
                    frames -= 1
                    self._take(fields)
            if not frames or self._cursor == self._ring.cursor:
                raise ConnectionError

        stream = EventStream(EventFeed(self._ring), self._cursor, lambda event: True)
        with pytest.raises(ConnectionError):
            await stream.send_to(write)

    def _take(self, fields: dict[str, str]) -> None:
        value: dict[str, Any] = json.loads(fields["data"])
        self._cursor = fields["id"]
        if fields["event"] == "gap":
            self.gaps.append(value["missed"])
            self._snapshot()
            return
        number = int(value["cursor"].rpartition("-")[2])
        self.seen.append(number)
        if number > self._at:  # else the snapshot has it
            self.states[value["server"]] = value["details"]["state"]

    def _snapshot(self) -> None:
        self.states = dict(self._servers.states)
        self._at = self._ring.count
        self._cursor = self._cursor or self._ring.cursor


changes = st.lists(st.sampled_from(NAMES), max_size=12)


@settings(max_examples=200, deadline=None)
@given(
    kept=st.integers(1, 15),
    steps=st.lists(st.tuples(changes, st.integers(1, 9)), max_size=10),
)
def test_a_client_that_comes_and_goes_ends_with_the_right_states(
    kept: int, steps: list[tuple[list[str], int]]
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ring_module, "KEPT", kept)
        asyncio.run(check(steps))


async def check(steps: list[tuple[list[str], int]]) -> None:
    servers = Servers()
    ring = EventRing(servers)  # type: ignore[arg-type]  # see Servers
    client = Client(servers, ring)
    for names, frames in steps:
        for name in names:
            servers.change(name)
        waiting = ring.count - (client.seen[-1] if client.seen else 0)
        if waiting:
            await client.follow(min(frames, waiting))
    ring.close()
    await client.follow(ring.count + len(steps) + 1)
    assert client.states == servers.states
    assert client.seen == sorted(set(client.seen))
    missed = sum(one or 0 for one in client.gaps)
    assert len(client.seen) + missed == ring.count


@pytest.mark.parametrize("while_away", [5_000, 10_000])
async def test_what_was_missed_in_a_break_comes_exactly_or_after_one_gap(while_away: int) -> None:
    servers = Servers()
    ring = EventRing(servers)  # type: ignore[arg-type]  # see Servers
    client = Client(servers, ring)
    servers.change("web")
    await client.follow(1)
    for number in range(while_away):
        servers.change(NAMES[number % 3])
    ring.close()
    with anyio.fail_after(60):
        await client.follow(while_away + 2)
    gap = max(while_away - ring_module.KEPT, 0)
    assert client.gaps == ([gap] if gap else [])
    assert client.seen[1:] == list(range(gap + 2, while_away + 2))
    assert client.states == servers.states


def test_events_that_are_large_take_no_more_than_four_mebibytes() -> None:
    servers = Servers()
    ring = EventRing(servers)  # type: ignore[arg-type]  # see Servers
    cursor = ring.cursor
    for _ in range(100):
        servers.change("web", "x" * 2**20)
    number, missed = ring.number_of(cursor)
    kept = [own for own, _ in ring.after(number, 1000)]
    assert kept == [98, 99, 100]
    assert missed is not None
    assert missed.count == 97


@pytest.mark.parametrize("number", ["9" * 10_000, "-1", "1.5"])
def test_a_number_that_cannot_be_one_is_of_another_life(number: str) -> None:
    ring = EventRing(Servers())  # type: ignore[arg-type]  # see Servers
    missed = ring.number_of(f"{ring.cursor.partition('-')[0]}-{number}")[1]
    assert missed is not None
    assert missed.count is None


async def test_a_stream_whose_client_reads_nothing_is_closed_and_nobody_waits_for_it(
    directories: Directories, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(event_stream, "_WRITE_SECONDS", 0.3)
    spec = ServerSpec(name="web", command=("sleep", "60"), port=None, autostart=False)
    async with controlled(spec, directories=directories) as client:
        server = engine_of(client.supervisor["web"])
        reader, writer = await asyncio.open_unix_connection(client.control.socket, limit=1)
        writer.write(b"GET /v1/events HTTP/1.1\r\nHost: localhost\r\nAccept: text/event-stream\r\n\r\n")
        await reader.readexactly(1)
        writer.transport.pause_reading()  # type: ignore[attr-defined]
        with anyio.fail_after(20):
            while not client.control.idle_for:  # the end of its connection is told by nothing else
                server.notice("t", "x" * 500_000)
                await asyncio.sleep(0.02)
        assert (await client.ask("GET", "/livez")).status == 200
        writer.close()
