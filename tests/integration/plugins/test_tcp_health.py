"""tcp-health: what counts as an answer of a server that speaks no HTTP."""

from __future__ import annotations

import asyncio
import os
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import anyio
from health_servers import answering, open_files, running, until_closed
from hostler import (
    Directories,
    Duration,
    Endpoint,
    Healthy,
    State,
    Supervisor,
    Unhealthy,
    from_dict,
)
from hostler_plugins.tcp_health import TcpHealth
from http_pages import HealthContext, healthy, next_report, unhealthy, watching


def quick(**options: Any) -> TcpHealth:
    return TcpHealth(**{"interval": Duration(0.05), "timeout": Duration(2)} | options)


async def pong(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answers as redis does."""
    while (line := await reader.readline()) == b"PING\r\n":
        writer.write(b"+PO")
        await writer.drain()
        await asyncio.sleep(0.01)
        writer.write(b"NG\r\n")
    if line:
        writer.write(b"-ERR unknown command\r\n")


async def hello(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Speaks first, as mail servers do; the last byte is no text."""
    writer.write(b"220 mail \xff\r\n")
    await until_closed(reader)


async def test_to_accept_is_enough() -> None:
    async with running() as server, watching(quick(), HealthContext(), server.endpoint) as reports:
        report = await healthy(reports)
    assert report.details == {"address": f"127.0.0.1:{server.endpoint.port}"}


async def test_nobody_there_is_told() -> None:
    async with answering(hello) as gone:
        pass
    async with watching(quick(), HealthContext(), gone) as reports:
        assert (await unhealthy(reports)).reason == f"127.0.0.1:{gone.port}: connection refused"


async def test_a_host_without_an_address_is_told() -> None:
    async with watching(quick(host="no-such-host.invalid", port=1), HealthContext(), None) as reports:
        assert "no-such-host.invalid:1: " in (await unhealthy(reports)).reason


async def test_an_answer_to_what_is_sent_is_waited_for_in_pieces() -> None:
    plugin = quick(send="PING\r\n", expect=r"^\+PONG")
    async with answering(pong) as endpoint, watching(plugin, HealthContext(), endpoint) as reports:
        await healthy(reports)
        await healthy(reports)


async def test_another_answer_is_a_failure_that_shows_it() -> None:
    plugin = quick(send="HELP\r\n", expect=r"^\+PONG")
    async with answering(pong) as endpoint, watching(plugin, HealthContext(), endpoint) as reports:
        report = await unhealthy(reports)
    assert report.reason.endswith(
        r": it says '-ERR unknown command\r\n', in which nothing matches '^\\+PONG'"
    )


async def test_a_server_that_speaks_first_is_heard_byte_for_byte() -> None:
    async with (
        answering(hello) as endpoint,
        watching(quick(expect="^220 .*\xff"), HealthContext(), endpoint) as reports,
    ):
        await healthy(reports)


async def test_a_server_that_hangs_up_or_resets_is_told() -> None:
    async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    async def reset(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.transport.abort()  # with bytes that nobody has read: a reset

    async with (
        answering(hang_up) as endpoint,
        watching(quick(expect="hello"), HealthContext(), endpoint) as reports,
    ):
        assert "it says nothing, in which nothing matches 'hello'" in (await unhealthy(reports)).reason

    plugin = quick(send="x" * 4_000_000, expect="hello")
    async with answering(reset) as endpoint, watching(plugin, HealthContext(), endpoint) as reports:
        assert "the connection broke off: " in (await unhealthy(reports)).reason


async def test_silence_is_a_failure_after_the_timeout_or_a_third_of_the_start() -> None:
    async with answering(pong) as endpoint:
        async with watching(quick(expect="x", timeout=Duration(0.2)), HealthContext(), endpoint) as reports:
            assert (await unhealthy(reports)).reason == "no answer within 0.2 s"
        async with watching(quick(expect="x"), HealthContext(startup_timeout=0.9), endpoint) as reports:
            assert (await unhealthy(reports)).reason == "no answer within 0.3 s"


async def test_no_more_than_64_kib_are_read() -> None:
    async def flood(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            writer.write(b"x" * 10000)
            await writer.drain()

    async with (
        answering(flood) as endpoint,
        watching(quick(expect="y"), HealthContext(), endpoint) as reports,
    ):
        report = await unhealthy(reports)

    assert "it says 'xxx" in report.reason
    assert len(report.reason) < 200


async def test_host_and_port_may_be_told_also_where_the_server_has_none() -> None:
    async with answering(hello) as endpoint:
        for plugin, known in (
            (quick(port=endpoint.port), None),
            (quick(host="127.0.0.1", port=endpoint.port), Endpoint("192.0.2.1", 1)),
            (quick(), Endpoint("0.0.0.0", endpoint.port)),
        ):
            async with watching(plugin, HealthContext(), known) as reports:
                await healthy(reports)


async def test_ipv6_is_reached_and_written_in_brackets() -> None:
    async with (
        running("--host", "::1") as server,
        watching(quick(), HealthContext(), server.endpoint) as reports,
    ):
        assert (await healthy(reports)).details["address"] == f"[::1]:{server.endpoint.port}"


# It binds first, and listens when the file "go" is there.
UNIX_SERVER = """
import pathlib, socket, time
one = socket.socket(socket.AF_UNIX)
one.bind("app.sock")
while not pathlib.Path("go").exists():
    time.sleep(0.01)
one.listen()
while True:
    connection, _ = one.accept()
    connection.send(b"hello" + connection.recv(100))
    connection.close()
"""


async def test_a_unix_socket_is_ready_when_it_accepts_and_not_when_it_is_there(
    directories: Directories, tmp_path: Path
) -> None:
    health = {"path": "app.sock", "send": "x", "expect": "^hellox$", "interval": "20ms"}
    command = [sys.executable, "-I", "-c", UNIX_SERVER]
    web = {"command": command, "cwd": str(tmp_path), "port": False, "plugins": {"tcp-health": health}}
    said: list[str] = []

    async with Supervisor(
        from_dict({"servers": {"web": web}}, base=tmp_path), directories=directories
    ) as supervisor:
        server = supervisor["web"]
        supervisor.listen(lambda event: said.append(getattr(event, "reason", "")))
        with anyio.fail_after(20):
            await server.until(lambda: any("app.sock: connection refused" in reason for reason in said))
            assert server.state is State.WAITING_READY
            (tmp_path / "go").touch()
            await server.wait_ready()


@dataclass(eq=False)
class Keeper(HealthContext):
    """Knows a secret, and its own processes."""

    own: list[int] = field(default_factory=list)

    def is_secret(self, text: str) -> bool:
        return text == "AUTH open sesame"

    def members(self) -> list[int]:
        return self.own


async def test_a_secret_goes_over_a_unix_socket_only_to_a_process_of_the_server(tmp_path: Path) -> None:
    heard: list[bytes] = []
    served: list[asyncio.Task[None] | None] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        served.append(asyncio.current_task())
        heard.append(await reader.read(100))
        writer.close()
        await writer.wait_closed()

    plugin = quick(path=tmp_path / "app.sock", send="AUTH open sesame")

    async with await asyncio.start_unix_server(serve, tmp_path / "app.sock"):
        async with watching(plugin, Keeper(), None) as reports:
            assert f"another process (pid {os.getpid()})" in (await unhealthy(reports)).reason
            assert set(heard) <= {b""}
        async with watching(plugin, Keeper(own=[os.getpid()]), None) as reports:
            await healthy(reports)
        with anyio.fail_after(20):
            while len(heard) < 2:  # noqa: ASYNC110 - the other end may be served later
                await anyio.sleep(0.01)
        await asyncio.wait([task for task in served if task is not None])
        assert sorted(heard)[-2:] == [b"", b"AUTH open sesame"]


async def test_thresholds_are_passed_on() -> None:
    answers = iter([b"no", b"yes", b"yes", b"no"])

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(next(answers, b"no"))

    plugin = quick(expect="yes", successes=2, failures=4)
    async with answering(serve) as endpoint, watching(plugin, HealthContext(), endpoint) as reports:
        said = [await next_report(reports) for _ in range(3)]
    assert [type(report) for report in said] == [Unhealthy, Healthy, Unhealthy]
    assert [report.limit for report in said if isinstance(report, Unhealthy)] == [4, 4]


async def test_closing_it_within_an_attempt_closes_the_connection() -> None:
    closed = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await until_closed(reader)
        closed.set()

    async with answering(serve) as endpoint:
        files = open_files()
        with anyio.move_on_after(0.2):
            async with watching(quick(expect="x"), HealthContext(), endpoint) as reports:
                await anext(reports)
        with anyio.fail_after(5):
            await closed.wait()

    assert open_files() <= files
