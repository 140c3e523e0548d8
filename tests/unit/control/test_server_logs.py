"""The output of servers over the control API: real children that log-rotation writes for."""

from __future__ import annotations

import asyncio
import errno
import json
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest
from controlled import Client, controlled
from hostler import Directories, PluginSpec, ServerSpec, State
from hostler.cli.client.transport import Closed, StreamRefused, stream
from hostler.control import log_parts
from specs import QUICK, MakeSpec

LINES = "echo one; echo oh >&2; sleep 0.15; echo two"


def logged(make_spec: MakeSpec, name: str, script: str, **fields: Any) -> ServerSpec:
    """A server that prints, and then sleeps."""
    log = PluginSpec("log-rotation", {"index": True})
    command = ("sh", "-c", f"{script}; exec sleep 60")
    return make_spec(command=command, port=None, plugins=(log,), name=name, restart=QUICK, **fields)


@asynccontextmanager
async def running(*specs: ServerSpec, directories: Directories) -> AsyncIterator[Client]:
    async with controlled(*specs, directories=directories) as client:
        await client.supervisor.wait_ready(timeout=20)
        yield client


async def lines_until(client: Client, text: str, target: str = "/v1/log") -> list[dict[str, Any]]:
    """The lines, once one with this text is among them."""
    while True:
        page = await client.get(target)
        if any(text in line["text"] for line in page["lines"]):
            return list(page["lines"])


async def test_a_page_has_the_lines_of_all_servers_by_time_with_what_is_known_of_them(
    make_spec: MakeSpec, directories: Directories
) -> None:
    web, db = logged(make_spec, "web", LINES), logged(make_spec, "db", "echo ready")
    async with running(web, db, directories=directories) as client:
        await lines_until(client, "ready")
        lines = await lines_until(client, "two")
        own = await client.get("/v1/servers/web/log")

        pid = client.supervisor["web"].pid
        assert {(one["server"], one["stream"], one["text"]) for one in lines} == {
            ("web", "stdout", "one"),
            ("web", "stderr", "oh"),
            ("web", "stdout", "two"),
            ("db", "stdout", "ready"),
        }
        assert [one["time"] for one in lines] == sorted(one["time"] for one in lines)
        assert own["lines"] == [one for one in lines if one["server"] == "web"]
        assert {(one["run"], one["pid"], one["partial"]) for one in own["lines"]} == {(1, pid, False)}


async def test_what_is_known_selects_lines_and_a_cursor_goes_on_behind_its_line(
    make_spec: MakeSpec, directories: Directories
) -> None:
    web = logged(make_spec, "web", LINES)
    async with running(web, directories=directories) as client:
        two = next(line for line in await lines_until(client, "two") if line["text"] == "two")

        async def texts(query: str) -> list[str]:
            return [line["text"] for line in (await client.get(f"/v1/servers/web/log?{query}"))["lines"]]

        assert await texts("stream=stderr") == ["oh"]
        assert await texts("contains=w") == ["two"]
        assert await texts(f"since={two['time']}") == ["two"]
        assert set(await texts(f"until={two['time']}")) == {"one", "oh"}
        assert await texts("run=2") == []
        assert await texts("limit=1") == ["two"]
        assert await texts(f"after={two['cursor']}") == []
        assert len(await texts("after=&limit=2")) == 2
        assert (await texts(f"before={two['cursor']}"))[-1] == "two"


async def test_all_lines_come_in_one_answer_with_the_cursor_behind_them(
    make_spec: MakeSpec, directories: Directories
) -> None:
    web = logged(make_spec, "web", f"{LINES}; seq 3000; printf 'caf\\303\\251\\n\\033[1m\\n'")
    unwritten = make_spec(command=("sh", "-c", "echo told; exec sleep 60"), port=None, name="db")
    async with running(web, unwritten, directories=directories) as client:

        def read(query: str) -> list[bytes]:
            found: list[bytes] = []
            with suppress(Closed):  # it ends with its connection
                for lines in stream(client.control.socket, f"/v1/log?{query}", "application/jsonl"):
                    found += lines
            return found

        async def whole(query: str) -> list[dict[str, Any]]:
            found = await asyncio.to_thread(read, query)
            assert b"".join(found).isascii()
            return [json.loads(line) for line in found]

        await lines_until(client, "\x1b")
        await lines_until(client, "told")
        *lines, end = await whole("limit=3")
        own = [line for line in lines if line["server"] == "web"]
        assert len(own) == 3005
        assert lines[-1]["text"] == "told"
        assert own[-1]["text"] == "\x1b[1m"
        assert own[-1000:] == (await client.get("/v1/servers/web/log?limit=1000"))["lines"]
        assert end == {"next": own[-1]["cursor"], "missed": []}
        assert await whole(f"after={own[-2]['cursor']}") == [own[-1], end]
        assert await whole("servers=web&contains=caf") == [own[-2], end]


async def test_after_a_kill_the_new_run_has_its_number_and_a_stopped_server_its_log(
    make_spec: MakeSpec, directories: Directories
) -> None:
    web = logged(make_spec, "web", "echo at $$$$")
    async with running(web, directories=directories) as client:
        pid = client.supervisor["web"].pid
        assert pid is not None
        await lines_until(client, f"at {pid}")
        os.kill(pid, signal.SIGKILL)
        server = client.supervisor["web"]
        await server.until(lambda: server.generation == 2 and server.pid is not None)
        second = server.pid
        await lines_until(client, f"at {second}")
        await client.supervisor["web"].stop()
        assert client.supervisor["web"].state is State.STOPPED

        lines = (await client.get("/v1/log"))["lines"]
        assert [(line["run"], line["pid"], line["text"]) for line in lines] == [
            (1, pid, f"at {pid}"),
            (2, second, f"at {second}"),
        ]


@pytest.mark.parametrize(
    ("query", "detail"),
    [
        ("limit=0", "limit is 1 to 1000, found 0"),
        ("since=noon", "since is a time as"),
        ("until=", "until is a time as"),
        ("after=web", "no cursor of a log: 'web'"),
        ("before=abc-1.", "no cursor of a log: 'abc-1.'"),
        ("servers=none", "there is no server 'none'"),
        ("stream=stdin", "Invalid enum value 'stdin'"),
    ],
)
async def test_a_wrong_query_is_refused_with_what_is_allowed(
    make_spec: MakeSpec, directories: Directories, query: str, detail: str
) -> None:
    async with running(logged(make_spec, "web", "true"), directories=directories) as client:
        status, _, found = await client.problem("GET", f"/v1/log?{query}")
        assert status in {404, 422}
        assert detail in found


async def test_that_no_file_can_be_opened_is_told_instead_of_fewer_lines(
    make_spec: MakeSpec,
    directories: Directories,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def trusted_folder(_: object) -> Any:  # for the whole process, tests included, a real lack would be
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    async with running(logged(make_spec, "web", "echo one"), directories=directories) as client:
        await lines_until(client, "one")
        monkeypatch.setattr(log_parts, "trusted_folder", trusted_folder)
        with pytest.raises(StreamRefused) as refused:
            await asyncio.to_thread(lambda: [*stream(client.control.socket, "/v1/log", "application/jsonl")])
        for problem in ((await client.ask("GET", "/v1/log")).json(), refused.value.problem):
            assert problem["detail"] == "the logs cannot be read now: Too many open files"
            assert "ulimit -n" in str(problem["hint"])
        with pytest.raises(Closed):  # it has begun, so no other answer can follow
            await asyncio.to_thread(lambda: [*stream(client.control.socket, "/v1/log", "text/event-stream")])
        assert "was cut off: the logs cannot be read now" in caplog.text


async def test_lines_are_masked_as_on_disk(make_spec: MakeSpec, directories: Directories) -> None:
    secret = "hunter2-hunter2"
    web = logged(make_spec, "web", "echo password=$API_TOKEN", env={"API_TOKEN": secret})
    async with running(web, directories=directories) as client:
        (line,) = await lines_until(client, "password=")
        assert secret not in line["text"]
