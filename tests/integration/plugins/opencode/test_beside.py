"""What happens beside the start: looking for updates, waiting for the first answer, asking to let go."""

from __future__ import annotations

import json
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import pytest
from anyio.abc import SocketAttribute, SocketStream
from downloads import npm_with_network
from hostler import Auth, Endpoint, Healthy, Launch, Unhealthy
from hostler_plugins.opencode import OpenCode, updates
from hostler_plugins.opencode.client import Place, status_of
from opencode_context import Context, a_launch, clean_up, free_port


@pytest.fixture
def program(tmp_path: Path) -> Path:
    path = tmp_path / "bin" / "opencode"
    path.parent.mkdir()
    path.write_text("#!/bin/sh\necho 1.18.3\n")
    path.chmod(0o755)
    return path


def npm_that_says(view: Context, text: str) -> Launch:
    npm = view.root / "bin" / "npm"
    npm.parent.mkdir(exist_ok=True)
    npm.write_text(f"#!/bin/sh\n{text}\n")
    npm.chmod(0o755)
    launch = a_launch(view)
    launch.host_env = {**launch.host_env, "PATH": f"{npm.parent}:/usr/bin:/bin"}
    return launch


async def test_a_newer_version_is_told_beside_the_start(view: Context, program: Path) -> None:
    launch = npm_that_says(view, f"echo '{json.dumps('1.19.0')}'")
    await OpenCode(binary=program, check_updates=True).pre_spawn(view, launch)
    clean_up(launch)
    assert not view.noticed("update_available")
    (look,) = view.beside
    await look()
    assert "1.19.0" in view.noticed("update_available")
    assert "1.18.3" in view.noticed("update_available")


@pytest.mark.parametrize("says", ["echo '\"1.18.3\"'", "exit 1", "echo nonsense", "echo '[]'"])
async def test_nothing_is_told_when_npm_knows_nothing_newer(says: str, view: Context) -> None:
    await updates.look_for_update(view, npm_that_says(view, says), "1.18.3")
    assert not view.notices


async def test_an_npm_that_cannot_run_or_is_missing_hurts_nobody(view: Context) -> None:
    launch = npm_that_says(view, "")
    (view.root / "bin" / "npm").write_bytes(b"\x7fELF")
    await updates.look_for_update(view, launch, "1.18.3")
    launch.env["PATH"] = "/proc/nowhere"
    launch.host_env = {"PATH": "/proc/nowhere"}
    await updates.look_for_update(view, launch, "1.18.3")
    assert not view.notices


async def test_the_real_npm_knows_a_version(view: Context) -> None:
    newest = await updates.newest_version(Path(npm_with_network()), a_launch(view))
    assert newest.startswith("1.")


async def test_updates_are_not_looked_for_unless_asked(view: Context, program: Path) -> None:
    launch = a_launch(view)
    await OpenCode(binary=program).pre_spawn(view, launch)
    clean_up(launch)
    assert not view.beside


async def test_each_try_that_finds_nobody_is_reported_until_the_server_answers(view: Context) -> None:
    plugin, endpoint = OpenCode(), Endpoint("127.0.0.1", free_port())
    reports = plugin.health_check(view, endpoint)

    with anyio.fail_after(20):
        first = await anext(reports)
        assert isinstance(first, Unhealthy)
        assert "does not answer" in first.reason
        async with served(answer, endpoint.port):
            async for report in reports:
                if isinstance(report, Healthy):
                    break
        await reports.aclose()


async def test_first_requests_that_are_never_answered_do_not_use_up_the_start(view: Context) -> None:
    connections = 0

    async def lose_two(stream: SocketStream) -> None:
        nonlocal connections
        connections += 1
        await (silence if connections <= 2 else answer)(stream)

    async with served(lose_two) as port:
        with anyio.fail_after(view.spec.startup_timeout / 4):
            reports = [one async for one in OpenCode().health_check(view, Endpoint("127.0.0.1", port))]
    assert [type(one) for one in reports] == [Unhealthy, Unhealthy, Healthy]


@asynccontextmanager
async def served(handler: Callable[[SocketStream], Awaitable[None]], port: int = 0) -> AsyncIterator[int]:
    """A server that treats every connection in the same way; its port."""
    async with (
        await anyio.create_tcp_listener(local_host="127.0.0.1", local_port=port) as here,
        anyio.create_task_group() as tasks,
    ):
        tasks.start_soon(here.serve, handler)
        yield here.extra(SocketAttribute.local_port)
        tasks.cancel_scope.cancel()


async def answer(stream: SocketStream) -> None:
    async with stream:
        await stream.receive()
        await stream.send(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")


async def silence(stream: SocketStream) -> None:
    async with stream:
        await anyio.sleep_forever()


async def test_a_server_without_a_port_needs_no_answer(view: Context) -> None:
    assert [report async for report in OpenCode().health_check(view, None)] == [Healthy()]


async def test_a_server_that_does_not_answer_the_farewell_is_not_waited_for(view: Context) -> None:
    view.facts = {"auth": Auth("opencode", "secret")}
    with anyio.fail_after(2):
        async with served(silence) as port:
            view.endpoint = Endpoint("127.0.0.1", port)
            await OpenCode().on_shutdown(view)


async def test_a_server_that_is_gone_or_never_listened_needs_no_farewell(view: Context) -> None:
    await OpenCode().on_shutdown(view)
    view.endpoint = Endpoint("127.0.0.1", free_port())
    await OpenCode().on_shutdown(view)
    await OpenCode().on_ready(view, None)


async def test_silence_is_a_timeout(view: Context) -> None:
    async with served(silence) as port:
        with pytest.raises(TimeoutError, match="did not answer"):
            await status_of(Place(view, Endpoint("127.0.0.1", port), "/"), None, deadline=0.2)


async def test_importing_the_plugin_does_not_import_aiohttp() -> None:
    code = "import sys, hostler_plugins.opencode; sys.exit('aiohttp' in sys.modules)"
    done = await anyio.run_process([sys.executable, "-c", code], check=False)
    assert done.returncode == 0
