"""What the plugin does for a Redis server, most of it with a real one."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from hostler import Endpoint, Exited, InvalidConfiguration, ServerCrashed, State, Unhealthy, load
from hostler.testing import FakeServerContext, assert_plugin_contract
from hostler_redis import Redis

pytestmark = pytest.mark.anyio

QUICK = {"initial_delay": "20ms", "max_delay": "20ms"}


def test_it_keeps_what_a_plugin_promises():
    assert_plugin_contract(Redis)


def test_the_example_is_right():
    assert list(load(Path(__file__).parents[1] / "redis.toml").servers) == ["redis"]


@pytest.mark.parametrize(
    ("line", "port"),
    [
        ("32419:M 23 Nov 2026 11:26:02.307 * Running mode=standalone, port=7777.", 7777),
        ("1:M 01 Jan 2027 00:00:00.000 * Running mode=cluster, port=6379.", 6379),
        ("1:M 01 Jan 2027 00:00:00.000 * Running mode=standalone, port=70000.", None),
        ("1:M 01 Jan 2027 00:00:00.000 * Ready to accept connections", None),
        ("# oO0OoO0OoO0Oo Redis is starting oO0OoO0OoO0Oo", None),
    ],
)
def test_the_port_is_read_where_redis_names_it(line, port):
    expected = None if port is None else Endpoint("127.0.0.1", port, "redis")
    assert Redis().parse_port(FakeServerContext(), line) == expected


async def test_a_real_redis_is_ready_when_it_answers(hostler_server, redis_server):
    server = await hostler_server(redis_server, plugins={"redis": True})
    assert server.url == f"redis://127.0.0.1:{server.endpoint.port}"
    assert server.child_env()["REDIS_URL"] == server.url
    assert server.health == "healthy"


async def test_what_the_command_says_itself_is_left_alone(hostler_server, redis_server, free_tcp_port):
    command = [*redis_server, "--port", str(free_tcp_port), "--databases", "2"]
    server = await hostler_server(command, plugins={"redis": {}})
    assert server.endpoint.port == free_tcp_port


async def test_a_killed_redis_is_started_again(hostler_server, redis_server):
    server = await hostler_server(redis_server, plugins={"redis": {}}, restart=QUICK)
    os.kill(server.pid, signal.SIGKILL)
    await hostler_server.wait_for(Exited, generation=1)
    await server.wait_ready(20)
    assert server.generation == 2


async def test_a_redis_that_hangs_is_started_again(hostler_server, redis_server):
    server = await hostler_server(
        redis_server,
        plugins={"redis": {"interval": "50ms", "timeout": "200ms"}},
        restart=QUICK,
        force_kill_timeout="200ms",
    )
    os.kill(server.pid, signal.SIGSTOP)
    await server.until(lambda: server.generation == 2)
    await server.wait_ready(20)


@pytest.mark.parametrize(("save", "files"), [(True, ["dump.rdb"]), (False, [])])
async def test_it_is_shut_down_by_its_own_command(hostler_server, redis_server, save, files):
    server = await hostler_server(redis_server, plugins={"redis": {"save": save}})
    await ask(server.endpoint, b"SET visits 3\r\n")
    await server.stop()
    (exited,) = hostler_server.told(Exited)
    assert (exited.exit.code, exited.exit.signal) == (0, None)
    assert [path.name for path in server.data_dir.glob("dump.rdb")] == files


async def test_a_redis_that_wants_a_password_is_given_up(hostler_server, redis_server):
    with pytest.raises(ServerCrashed, match="NOAUTH"):
        await hostler_server([*redis_server, "--requirepass", "sesame"], plugins={"redis": {}})
    assert [exited.generation for exited in hostler_server.told(Exited)] == [1]


async def test_a_server_without_a_port_is_refused(hostler_server, redis_server):
    with pytest.raises(InvalidConfiguration, match="a Redis server needs a port"):
        await hostler_server(redis_server, plugins={"redis": {}}, port=False)


@pytest.mark.parametrize("option", ["interval", "timeout"])
async def test_an_option_of_zero_is_refused(hostler_server, redis_server, option):
    with pytest.raises(InvalidConfiguration, match=rf"redis\.{option}: must be longer than 0"):
        await hostler_server(redis_server, plugins={"redis": {option: "0s"}})


# -- what a real Redis says only at bad moments ----------------------------------------------------


@asynccontextmanager
async def answering(answer: bytes) -> AsyncIterator[Endpoint]:
    """Something that has this answer to everything."""

    async def answer_all(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n")
        writer.write(answer)
        writer.close()

    async with await asyncio.start_server(answer_all, "127.0.0.1", 0) as listener:
        yield Endpoint("127.0.0.1", listener.sockets[0].getsockname()[1], "redis")


async def ask(endpoint: Endpoint, command: bytes) -> bytes:
    reader, writer = await asyncio.open_connection(endpoint.host, endpoint.port)
    writer.write(command)
    answer = await reader.readline()
    writer.close()
    return answer


@pytest.mark.parametrize(
    ("answer", "permanent"),
    [
        (b"-LOADING Redis is loading the dataset in memory\r\n", False),
        (b"HTTP/1.1 400 Bad Request\r\n", False),
        (b"", False),
        (b"-NOAUTH Authentication required.\r\n", True),
    ],
)
async def test_what_is_no_pong_is_unhealthy(answer, permanent):
    async with answering(answer) as endpoint:
        reports = Redis().health_check(FakeServerContext(), endpoint)
        report = await anext(reports)
        await reports.aclose()
    assert isinstance(report, Unhealthy)
    assert report.permanent == permanent


async def test_a_refusal_to_shut_down_is_told():
    async with answering(b"-ERR Errors trying to SHUTDOWN. Check logs.\r\n") as endpoint:
        server = FakeServerContext(endpoint=endpoint, state=State.STOPPING)
        await Redis().on_shutdown(server)
    assert "refused to shut down: -ERR Errors" in server.notices[0].text


async def test_a_redis_that_is_gone_already_is_no_trouble(free_tcp_port):
    server = FakeServerContext(endpoint=Endpoint("127.0.0.1", free_tcp_port))
    await Redis().on_shutdown(server)
    assert "could not be told to shut down" in server.notices[0].text
