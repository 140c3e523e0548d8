"""Following logs: what was printed and then what comes, each line once, whoever is slow."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest
from controlled import Client, controlled
from hostler import Directories, PluginSpec
from hostler.cli.client.transport import Unreachable, stream
from hostler.control import log_stream, log_tails
from hostler.control.log_lines import Selection
from hostler.control.log_stream import LogSource, LogStream
from specs import QUICK, MakeSpec
from written_logs import Writer


class Reader:
    """A client of a stream: the frames that it got, each with the id that came with it."""

    def __init__(self) -> None:
        self.data = b""
        self.changed = asyncio.Event()

    async def write(self, data: bytes) -> None:
        self.data += data
        self.changed.set()

    @property
    def frames(self) -> list[tuple[str, str, dict[str, Any]]]:
        found = []
        for frame in self.data.decode().split("\n\n")[:-1]:
            fields = dict(line.split(": ", 1) for line in frame.splitlines() if not line.startswith(":"))
            if fields:
                found.append((fields["event"], fields.get("id", ""), json.loads(fields["data"])))
        return found

    @property
    def texts(self) -> list[str]:
        return [values["text"] for kind, _, values in self.frames if kind == "line"]

    async def until(self, condition: Callable[[], bool]) -> None:
        with anyio.fail_after(20):
            while not condition():
                self.changed.clear()
                await self.changed.wait()


def source_of(*writers: Writer) -> tuple[LogSource, asyncio.Event]:
    """What these write, until the event is set."""
    ended = asyncio.Event()
    logs = [writer.log for writer in writers]
    return LogSource(lambda: logs, asyncio.to_thread, lambda *_: None, ended.is_set), ended


async def test_one_who_follows_gets_each_line_once_over_rotation_compression_and_runs(tmp_path: Path) -> None:
    web, db = (Writer(tmp_path, name, max_size=2000, compress=True) for name in ("web", "db"))
    reader, (source, ended) = Reader(), source_of(web, db)
    web.file.write("stdout", b"before\n")
    task = asyncio.create_task(LogStream(source, Selection(), None, 200).send_to(reader.write))
    await reader.until(lambda: reader.texts == ["before"])

    def write() -> Iterator[str]:
        for number in range(600):
            writer = (web, db)[number % 2]
            writer.file.write(("stdout", "stderr")[number // 2 % 2], b"line %d" % number)
            writer.file.write(("stdout", "stderr")[number // 2 % 2], b"\n")
            yield f"line {number}"
            if number % 200 == 199:
                writer.again()

    written = []
    for text in write():
        written.append(text)
        if len(written) % 50 == 0:
            await asyncio.sleep(0.01)
    ended.set()
    await task
    assert sorted(reader.texts[1:]) == sorted(written)
    assert {values["run"] for kind, _, values in reader.frames if kind == "run"} == {1, 2, 3, 4}
    web.file.close()
    db.file.close()


@pytest.mark.parametrize("at", [0, 3, 9])
async def test_each_id_is_the_place_of_all_servers_behind_its_line(tmp_path: Path, at: int) -> None:
    writers = [Writer(tmp_path, name) for name in ("web", "db")]
    for number in range(5):
        for writer in writers:
            writer.file.write("stdout", f"{writer.log.server} {number}\n".encode())
    (source, ended), whole, rest = source_of(*writers), Reader(), Reader()
    ended.set()
    await LogStream(source, Selection(), "", 200).send_to(whole.write)
    lines = [frame for frame in whole.frames if frame[0] == "line"]
    await LogStream(source, Selection(), lines[at][1], 200).send_to(rest.write)

    assert len(lines) == 10
    assert rest.texts == whole.texts[at + 1 :]
    for writer in writers:
        writer.file.close()


async def test_one_who_is_too_slow_gets_a_gap_and_who_is_fast_nothing_less(tmp_path: Path) -> None:
    web = Writer(tmp_path, max_size=700, keep=1)
    (source, ended), fast, slow, may_go_on = source_of(web), Reader(), Reader(), asyncio.Event()

    async def write_slowly(data: bytes) -> None:
        if b'"line 0"' in data:
            await may_go_on.wait()
        await slow.write(data)

    writes = (fast.write, write_slowly)
    streams = [LogStream(source, Selection(), "", 200) for _ in range(2)]
    tasks = [asyncio.create_task(one.send_to(to)) for one, to in zip(streams, writes, strict=True)]
    for number in range(300):
        web.file.write("stdout", b"line %d\n" % number)
        if number % 25 == 0:
            await fast.until(lambda at=number: len(fast.texts) > at - 25)  # type: ignore[misc]
    may_go_on.set()
    ended.set()
    await asyncio.gather(*tasks)

    assert fast.texts == [f"line {number}" for number in range(300)]
    assert ("gap", "", {"server": "web", "missed": None}) in slow.frames
    assert slow.texts[-1] == "line 299"
    assert len(slow.texts) == len(set(slow.texts)) < 300
    web.file.close()


async def test_one_who_takes_nothing_is_closed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_stream, "_WRITE_SECONDS", 0.05)
    web = Writer(tmp_path)
    source, _ = source_of(web)

    with pytest.raises(TimeoutError):
        await LogStream(source, Selection(), "", 200).send_to(lambda data: asyncio.sleep(60))
    web.file.close()


async def eventually(condition: Callable[[], bool]) -> None:
    for _ in range(2000):
        if condition():
            return
        await anyio.sleep(0.01)
    raise TimeoutError


# -- over the socket -------------------------------------------------------------------------------


@asynccontextmanager
async def following(client: Client, target: str) -> AsyncIterator[Reader]:
    """A client that follows in a thread of its own, until the end."""
    reader, loop, over = Reader(), asyncio.get_running_loop(), asyncio.Event()

    def read() -> None:
        try:
            for lines in stream(client.control.socket, target):
                for line in lines:
                    asyncio.run_coroutine_threadsafe(reader.write(line + b"\n"), loop)
                if over.is_set():
                    return
        except Unreachable:
            return

    task = asyncio.create_task(asyncio.to_thread(read))
    try:
        yield reader
    finally:
        over.set()
        await task


async def test_following_goes_on_over_a_kill_and_says_which_run_began(
    make_spec: MakeSpec, directories: Directories
) -> None:
    log = PluginSpec("log-rotation", {"index": True})
    command = ("sh", "-c", "echo at $$$$; exec sleep 60")
    spec = make_spec(command=command, port=None, plugins=(log,), name="web", restart=QUICK)
    async with controlled(spec, directories=directories) as client:
        await client.supervisor.wait_ready(timeout=20)
        server = client.supervisor["web"]
        async with following(client, "/v1/servers/web/log") as reader:
            await reader.until(lambda: bool(reader.texts))
            first = server.pid
            assert first is not None
            os.kill(first, signal.SIGKILL)
            await reader.until(lambda: len(reader.texts) == 2)
            second = server.pid

        told = [(kind, values["run"], values["pid"], values.get("text")) for kind, _, values in reader.frames]
        assert told == [
            ("run", 1, first, None),
            ("line", 1, first, f"at {first}"),
            ("run", 2, second, None),
            ("line", 2, second, f"at {second}"),
        ]


async def test_without_a_log_file_what_is_remembered_is_told_and_what_comes(
    make_spec: MakeSpec, directories: Directories
) -> None:
    command = ("sh", "-c", "echo at $$$$; printf half; exec sleep 60")
    spec = make_spec(command=command, port=None, plugins=(), name="web", restart=QUICK)
    async with controlled(spec, directories=directories) as client:
        await client.supervisor.wait_ready(timeout=20)
        server = client.supervisor["web"]
        first = server.pid
        assert first is not None
        await eventually(lambda: "half" in server.tail("stdout"))
        page = await client.get("/v1/log")
        assert [(line["text"], line["time"], line["partial"]) for line in page["lines"]] == [
            (f"at {first}", None, False),
            ("half", None, True),
        ]
        assert (await client.get("/v1/log?after="))["lines"] == []

        async with following(client, "/v1/log") as reader:
            await reader.until(lambda: len(reader.texts) == 2)
            os.kill(first, signal.SIGKILL)
            await reader.until(lambda: len(reader.texts) > 3)

        told = [(kind, values["run"], values.get("text")) for kind, _, values in reader.frames]
        assert told[-2:] == [("run", 2, None), ("line", 2, f"at {server.pid}")]

        async with following(client, "/v1/log?after=") as reader:  # behind a page, which had those before
            second = server.pid
            assert second is not None
            await reader.until(lambda: bool(reader.data))
            os.kill(second, signal.SIGKILL)
            await reader.until(lambda: len(reader.texts) > 1)
        assert reader.texts == ["half", f"at {server.pid}"]


async def test_of_what_nobody_writes_a_slow_client_gets_a_gap_and_holds_little_memory(
    make_spec: MakeSpec, directories: Directories, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log_tails, "_MOST_WAITING", 1000)
    begin = tmp_path / "begin"
    command = ("sh", "-c", f"until [ -e {begin} ]; do sleep 0.01; done; seq 5000; exec sleep 60")
    spec = make_spec(command=command, port=None, plugins=(), name="web")
    async with controlled(spec, directories=directories) as client:
        server = client.supervisor["web"]
        await server.wait_ready(timeout=20)
        tails = log_tails.LiveTails(lambda: [server], Selection())
        tails.begin(9)
        begin.touch()
        await eventually(lambda: any(item[5:6] == ("5000",) for item in tails._waiting))
        page = tails.take()
        await tails.close()

    assert page is not None
    assert page.missed == ("web",)
    assert sum(len(line.text) for line in page.lines) <= 1000
    assert page.lines[-1].text == "5000"
