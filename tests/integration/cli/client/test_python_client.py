"""`hostler.client` with a real hostler in the background, on its good and bad days."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import ssl
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from background_project import pid_of, write
from hostler.client import AsyncClient, Client, NotRunning, RequestRefused, Unreachable
from hostler_process import Run, server_table
from http_pages import self_signed
from tcp_client import TcpClient


@pytest.fixture(params=["Client", "AsyncClient"])
def ask(request: pytest.FixtureRequest, project: Path, environ: dict[str, str]) -> Iterator[Any]:
    """Calls a method of a client that is kept for the whole test."""
    place: dict[str, Any] = {"configuration": project / "hostler.toml", "environ": environ}
    if request.param == "Client":
        with Client(**place) as client:
            yield lambda name, *arguments, **named: getattr(client, name)(*arguments, **named)
        return
    with asyncio.Runner() as runner:
        twin = AsyncClient(**place)
        yield lambda name, *arguments, **named: runner.run(getattr(twin, name)(*arguments, **named))
        runner.run(twin.close())


def test_a_client_that_is_kept_goes_on_with_the_hostler_that_took_the_place(
    project: Path, run: Run, ask: Any
) -> None:
    write(project, server_table())
    with pytest.raises(NotRunning, match=r"no hostler supervises .*hostler\.toml now"):
        ask("about")
    first = pid_of(run("up", "--json"))
    assert ask("about").pid == first
    assert run("down").returncode == 0
    with pytest.raises(NotRunning):
        ask("about")
    second = pid_of(run("up", "--json"))
    assert ask("about").pid == second != first


def test_a_socket_that_was_removed_is_made_again(
    project: Path, run: Run, ask: Any, environ: dict[str, str]
) -> None:
    write(project, server_table())
    assert run("up").returncode == 0
    (socket,) = Path(environ["XDG_RUNTIME_DIR"], "hostler").glob("*.sock")
    socket.unlink()
    assert ask("server", "fake").state == "running"
    assert socket.is_socket()


def test_a_hostler_that_hangs_is_told_after_5_s(project: Path, run: Run, ask: Any) -> None:
    write(project, server_table())
    pid = pid_of(run("up", "--json"))
    os.kill(pid, signal.SIGSTOP)
    try:
        begin = time.monotonic()
        with pytest.raises(Unreachable, match=rf"has not answered for 5 s\n.*kill -9 {pid} ends it"):
            ask("about")
        assert 4.5 < time.monotonic() - begin < 9
    finally:
        os.kill(pid, signal.SIGCONT)
    assert ask("about").pid == pid


def test_a_wait_ends_when_hostler_does(project: Path, run: Run, ask: Any) -> None:
    write(project, server_table("--no-listen"))
    pid = pid_of(run("up", "--no-wait", "--json"))
    with ThreadPoolExecutor() as threads:
        waiting = threads.submit(ask, "wait", "fake", timeout=60)
        with pytest.raises(TimeoutError):
            waiting.result(0.5)
        os.kill(pid, signal.SIGKILL)
        with pytest.raises((NotRunning, Unreachable)):
            waiting.result(20)


def test_over_tcp_a_token_allows_what_its_scope_says(
    project: Path, run: Run, environ: dict[str, str]
) -> None:
    write(project, "[control]\ntcp = '127.0.0.1:0'\n", server_table())
    assert run("up").returncode == 0
    (description,) = Path(environ["XDG_RUNTIME_DIR"], "hostler").glob("*.json")
    tcp = TcpClient(description)
    with Client(address=tcp.url, token=tcp.tokens["read"]) as client:
        cursor = client.servers().cursor
        with pytest.raises(RequestRefused) as refusal:
            client.stop()
        assert (refusal.value.kind, refusal.value.status) == ("not_allowed", 403)
    with Client(address=tcp.url, token=tcp.tokens["operate"]) as client:
        client.stop(timeout=20)
        with client.follow_events(after=cursor, kind="state") as events:
            states = [next(events) for _ in range(2)]
    assert [one["state"] for one in states if isinstance(one, dict)] == ["stopping", "stopped"]
    with Client(address=tcp.url) as client, pytest.raises(RequestRefused) as refusal:
        client.about()
    assert refusal.value.kind == "no_token"


def test_over_tls_the_certificate_is_checked(project: Path, run: Run, environ: dict[str, str]) -> None:
    cert, key = project / "box.pem", project / "box.key"
    self_signed(cert, key)
    files = f"certificate_file = '{cert}'\nkey_file = '{key}'\n"
    write(project, f"[control]\ntcp = '127.0.0.1:0'\n{files}", server_table())
    assert run("up").returncode == 0
    (description,) = Path(environ["XDG_RUNTIME_DIR"], "hostler").glob("*.json")
    tcp = TcpClient(description)
    place: dict[str, Any] = {"address": tcp.url, "token": tcp.tokens["operate"]}
    assert tcp.url.startswith("https://")
    trusting = ssl.create_default_context(cafile=cert)

    async def restart() -> int:
        async with AsyncClient(**place, tls=trusting) as twin:
            async with twin.follow_events(kind="state") as events:
                await twin.restart(timeout=20)
                assert (await anext(events))["state"] == "stopping"  # type: ignore[index]
            return (await twin.server("fake")).generation

    assert asyncio.run(restart()) == 2
    with Client(**place, tls=trusting) as client:
        with client.follow_events(kind="state") as events:
            assert client.restart(timeout=20).servers[0].server.generation == 3
            assert next(events)["state"] == "stopping"  # type: ignore[index]
        assert [client.server("fake").generation for _ in range(3)] == [3, 3, 3]
    with Client(**place) as client, pytest.raises(Unreachable, match="certificate verify failed"):
        client.about()


def test_threads_share_a_client(project: Path, run: Run, environ: dict[str, str]) -> None:
    write(project, server_table())
    pid = pid_of(run("up", "--json"))
    with Client(project / "hostler.toml", environ=environ) as client, ThreadPoolExecutor(8) as threads:
        found = list(threads.map(lambda _: client.about().pid, range(200)))
    assert set(found) == {pid}
    assert json.loads(run("ps", "--json").stdout)["servers"][0]["name"] == "fake"
