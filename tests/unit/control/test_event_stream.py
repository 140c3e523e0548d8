"""Events by cursor: in pages and as server-sent events, resumed exactly or with a gap that is said."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

import anyio
import pytest
from controlled import controlled
from hostler import Directories, Event, Notice, ServerSpec
from hostler.control import event_ring as ring_module
from hostler.control.event_ring import EventRing, Missed
from hostler.control.event_stream import EventFeed, EventStream
from hypothesis import given
from hypothesis import strategies as st


class Source:
    """Stands in for a supervisor, of which a ring uses `listen` alone: thousands of events take no time."""

    def __init__(self) -> None:
        self._listeners: list[Callable[[Event], None]] = []

    def listen(self, listener: Callable[[Event], None]) -> Callable[[], None]:
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener)

    def emit(self, count: int = 1, server: str = "web") -> None:
        for _ in range(count):
            for listener in self._listeners:
                listener(Notice(server=server, generation=1, topic="t", text="x"))


def ring_of(source: Source) -> EventRing:
    return EventRing(source)  # type: ignore[arg-type]  # see Source


class Reader:
    """A client of a stream: the frames that it got."""

    def __init__(self) -> None:
        self.data = b""
        self.changed = asyncio.Event()

    async def write(self, data: bytes) -> None:
        self.data += data
        self.changed.set()

    @property
    def frames(self) -> list[tuple[str, dict[str, Any]]]:
        found = []
        for frame in self.data.decode().split("\n\n"):
            fields = dict(line.split(": ", 1) for line in frame.splitlines() if not line.startswith(":"))
            if fields:
                found.append((fields["event"], json.loads(fields["data"])))
        return found

    async def until(self, count: int) -> list[tuple[str, dict[str, Any]]]:
        with anyio.fail_after(10):
            while len(self.frames) < count:
                self.changed.clear()
                await self.changed.wait()
        return self.frames


def numbers(frames: list[tuple[str, dict[str, Any]]]) -> list[int]:
    return [int(value["cursor"].split("-")[1]) for kind, value in frames if kind != "gap"]


async def test_a_stream_resumes_exactly_where_the_client_left() -> None:
    source, reader = Source(), Reader()
    ring = ring_of(source)
    source.emit(10)
    stream = EventStream(EventFeed(ring), ring.cursor_of(4), lambda event: True)
    task = asyncio.create_task(stream.send_to(reader.write))
    assert numbers(await reader.until(6)) == [5, 6, 7, 8, 9, 10]
    source.emit(2)
    assert numbers(await reader.until(8)) == list(range(5, 13))
    task.cancel()


async def test_what_is_not_kept_any_more_is_a_gap(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ring_module, "KEPT", 5)
    source, reader = Source(), Reader()
    ring = ring_of(source)
    source.emit(12)
    task = asyncio.create_task(
        EventStream(EventFeed(ring), ring.cursor_of(3), lambda event: True).send_to(reader.write)
    )
    frames = await reader.until(6)
    assert frames[0] == ("gap", {"missed": 4})
    assert numbers(frames) == [8, 9, 10, 11, 12]
    task.cancel()


async def test_without_a_cursor_a_stream_begins_with_the_first_event() -> None:
    source, reader = Source(), Reader()
    ring = ring_of(source)
    source.emit(2)
    task = asyncio.create_task(EventStream(EventFeed(ring), "", lambda event: True).send_to(reader.write))
    frames = await reader.until(2)
    assert [kind for kind, _ in frames] == ["notice", "notice"]
    assert numbers(frames) == [1, 2]
    task.cancel()


@pytest.mark.parametrize("cursor", ["another-3", "x", "-", "é"])
async def test_a_cursor_of_another_life_is_a_gap_of_unknown_length(cursor: str) -> None:
    source, reader = Source(), Reader()
    ring = ring_of(source)
    source.emit(2)
    task = asyncio.create_task(EventStream(EventFeed(ring), cursor, lambda event: True).send_to(reader.write))
    frames = await reader.until(3)
    assert frames[0] == ("gap", {"missed": None})
    assert numbers(frames) == [1, 2]
    task.cancel()


async def test_a_client_that_reads_nothing_gets_a_gap_and_holds_up_nobody(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(ring_module, "KEPT", 100)
    source, slow, fast = Source(), Reader(), Reader()
    ring = ring_of(source)
    go_on = asyncio.Event()

    async def write_slowly(data: bytes) -> None:
        await go_on.wait()
        await slow.write(data)

    feed, begin = EventFeed(ring), ring.cursor
    tasks = [
        asyncio.create_task(EventStream(feed, begin, lambda event: True).send_to(write, takes_more))
        for write, takes_more in ((write_slowly, go_on.is_set), (fast.write, lambda: True))
    ]
    for _ in range(10):
        source.emit(50)
        await fast.until(len(fast.frames) + 50)
    go_on.set()
    with anyio.fail_after(10):
        while numbers(slow.frames)[-1:] != [500]:
            slow.changed.clear()
            await slow.changed.wait()
    missed = sum(value["missed"] for kind, value in slow.frames if kind == "gap")
    assert missed >= 300
    assert len(numbers(slow.frames)) + missed == 500
    assert numbers(fast.frames) == list(range(1, 501))
    for task in tasks:
        task.cancel()


@given(kept=st.integers(1, 20), steps=st.lists(st.integers(0, 15), max_size=12), left=st.integers(0, 30))
def test_no_hole_is_silent(kept: int, steps: list[int], left: int) -> None:
    """Against a list of all events: each is read once, or counted as missed."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ring_module, "KEPT", kept)
        source = Source()
        ring = ring_of(source)
        source.emit(left)
        at, seen, missed = left, [], 0
        for step in steps:
            source.emit(step)
            at, gap = ring.number_of(ring.cursor_of(at))
            missed += 0 if gap is None else gap.count or 0
            for number, _ in ring.after(at, 7):
                at = number
                seen.append(number)
        rest = ring.count - at
        assert seen == sorted(set(seen))
        assert len(seen) + missed + rest == ring.count - left


def test_a_board_that_is_closed_takes_no_more() -> None:
    source = Source()
    ring = ring_of(source)
    source.emit()
    ring.close()
    source.emit()
    assert ring.count == 1
    assert ring.number_of(ring.cursor_of(2)) == (0, Missed(None))


async def test_pages_and_streams_over_http_select_by_kind_and_server(directories: Directories) -> None:
    async with controlled(directories=directories) as client:
        for name in ("a", "b"):
            await client.supervisor.add(worker_spec(name))
        await client.get("/v1")
        page = await client.get("/v1/events?kind=notice&server=b&limit=1")
        assert [(one["server"], one["topic"]) for one in page["events"]] == [("b", "server_added")]
        rest = await client.get(f"/v1/events?kind=notice&server=b&after={page['next']}")
        assert rest["events"] == []

        reader, writer = await asyncio.open_unix_connection(client.control.socket)
        target = f"/v1/events?server=b&after={page['events'][0]['cursor'].split('-')[0]}-0"
        writer.write(f"GET {target} HTTP/1.0\r\nAccept: text/event-stream\r\n\r\n".encode())
        with anyio.fail_after(10):
            head = await reader.readuntil(b"\r\n\r\n")
            assert b"text/event-stream" in head
            frame = await reader.readuntil(b"}\n\n")
        assert b'"server":"b"' in frame
        assert b'"server":"a"' not in frame
        writer.close()


async def test_a_browser_that_comes_back_goes_on_at_its_last_event(directories: Directories) -> None:
    """It sends the address of the first time again, and in a header where it was."""
    async with controlled(directories=directories) as client:
        for name in ("a", "b"):
            await client.supervisor.add(worker_spec(name))
        first, *_, last = (await client.get("/v1/events"))["events"]
        reader, writer = await asyncio.open_unix_connection(client.control.socket)
        head = f"Accept: text/event-stream\r\nLast-Event-ID: {last['cursor']}\r\n"
        writer.write(f"GET /v1/events?after={first['cursor']} HTTP/1.0\r\n{head}\r\n".encode())
        with anyio.fail_after(10):
            await reader.readuntil(b"\r\n\r\n")
            await client.supervisor.add(worker_spec("c"))
            frame = await reader.readuntil(b"}\n\n")
        number = int(last["cursor"].split("-")[1]) + 1
        assert f"-{number}\n" in frame.decode()
        writer.close()


async def test_no_event_has_the_value_of_an_environment_variable(directories: Directories) -> None:
    spec = ServerSpec(name="a", command=("sleep", "60"), port=None, env={"PLACE": "of-a-planted-value"})
    async with controlled(spec, directories=directories) as client:
        await client.post("/v1/servers/a/start", wait=True)
        answer = await client.ask("GET", "/v1/events?kind=spawned")
        assert b"PLACE" in answer.body  # its name, among the origins
        assert b"of-a-planted-value" not in answer.body


def worker_spec(name: str) -> ServerSpec:
    return ServerSpec(name=name, command=("sleep", "60"), port=None, autostart=False)


async def test_a_stream_that_fails_is_broken_off_and_no_second_answer_follows(
    directories: Directories, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def fail(self: EventStream, write: Callable[[bytes], Awaitable[None]], _: object) -> None:
        await write(b"data: 1\n\n")
        raise ValueError("a fault")

    monkeypatch.setattr(EventStream, "send_to", fail)
    async with controlled(directories=directories) as client:
        reader, writer = await asyncio.open_unix_connection(client.control.socket)
        writer.write(b"GET /v1/events HTTP/1.1\r\nHost: localhost\r\nAccept: text/event-stream\r\n\r\n")
        with anyio.fail_after(10):
            answer = await reader.read()
        writer.close()
    assert answer.endswith(b"\r\ndata: 1\n\n\r\n")  # a chunk that is not the last one
    assert answer.count(b"HTTP/1.1") == 1
    assert "a request to the control API failed" in caplog.text
