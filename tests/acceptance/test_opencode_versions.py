"""Real OpenCode servers of many versions, kept by the five bundled plugins together."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import time
from collections.abc import Mapping
from pathlib import Path

import anyio
import pytest
from cli_project import NOTHING, Project, five_plugins
from hostler import (
    Event,
    HealthReported,
    Notice,
    PortParsingFailed,
    Progress,
    Server,
    State,
    StateChanged,
    StreamEvent,
)
from opencode_binaries import NEWEST, PREVIEW, opencode_binary
from opencode_requests import new_session, request, run_in_shell

pytestmark = pytest.mark.opencode

SECRET = "sk-ant-acceptance-0123456789"
ASKS_FOR_A_PASSWORD = {"1.1.34", "1.14.34", "1.17.18", NEWEST, PREVIEW}
HAS_A_SHELL = {"0.5.29", "1.0.0", "1.0.185", "1.14.34", "1.17.18", NEWEST}  # 1.1.34 needs the internet for it
VERSIONS = ["0.5.29", "1.0.0", "1.0.185", "1.1.34", "1.14.34", "1.17.18", NEWEST, PREVIEW]


def opencode_table(world: Project, binary: Path, **keys: object) -> dict[str, object]:
    plugins = five_plugins(
        opencode={"binary": str(binary), "offline": True},
        sse_health={"reconnect": "1s"},
        log_rotation={},
    )
    return {"cwd": str(world.project), "restart": {"initial_delay": "50ms"}, "plugins": plugins} | keys


def first_data(item: object) -> Mapping[str, object]:
    assert isinstance(item, StreamEvent)
    data: Mapping[str, object] = json.loads(item.data)
    return data


def order_of(events: list[Event]) -> list[str]:
    """Health and states in the order of their coming, with the plugin or the state."""
    told = []
    for event in events:
        if isinstance(event, HealthReported) and event.healthy:
            told.append(event.plugin)
        elif isinstance(event, StateChanged):
            told.append(event.state.value)
    return told


async def a_child_of_the_shell_tool(server: Server, world: Project) -> int:
    """Start one; it lives in a session of its own."""
    assert server.url is not None
    session = await asyncio.to_thread(new_session, server.url, server.auth)
    asking = asyncio.to_thread(run_in_shell, server.url, server.auth, session, "sleep 300")
    task = asyncio.create_task(asking)

    with anyio.fail_after(20):
        while not (pids := [p for p, words in world.processes().items() if words == "sleep 300"]):
            assert not task.done(), "the shell tool has answered without running the command"
            await anyio.sleep(0.05)

    task.add_done_callback(lambda _: None)
    return pids[0]


def nobody_listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) != 0


def secrets_on_disk(world: Project, *secrets: str) -> list[str]:
    return [
        str(path)
        for path in world.written()
        if any(secret.encode() in path.read_bytes() for secret in secrets)
    ]


@pytest.mark.requirement("R13", "R21", "R22", "R24", "R35", "R36", "R39")
@pytest.mark.parametrize("version", VERSIONS)
async def test_a_version_becomes_ready_comes_back_when_killed_and_leaves_nothing(
    version: str, world: Project
) -> None:
    binary = opencode_binary(version)
    file = world.configure(opencode=opencode_table(world, binary))
    world.environ["ANTHROPIC_API_KEY"] = SECRET
    events: list[Event] = []
    async with world.supervisor(file, events) as supervisor:
        server = supervisor["opencode"]
        stream = server.stream_events()
        await server.wait_ready(30)
        assert order_of(events).index("sse-health") < order_of(events).index("running")
        with anyio.fail_after(5):
            assert first_data(await anext(stream))["type"] == "server.connected"
        assert server.event_count >= 1
        assert server.url is not None
        assert server.endpoint is not None
        assert server.auth is not None
        port, pid, password = server.endpoint.port, server.pid, server.auth.password
        probe = server.url + ("/api/health" if version == PREVIEW else "/config")
        open_to_all = (await asyncio.to_thread(request, probe, None))[0]
        assert open_to_all == (401 if version in ASKS_FOR_A_PASSWORD else 200)
        assert (await asyncio.to_thread(request, probe, server.auth))[0] == 200
        told = {event.topic for event in events if isinstance(event, Notice)}
        assert ("password_ignored" in told) == (version not in ASKS_FOR_A_PASSWORD)
        assert server.facts["version"] == (version if version != PREVIEW else "1.18.18")

        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        await server.wait_ready(30)
        assert server.pid != pid
        assert server.endpoint is not None
        assert server.endpoint.port == port
        assert server.restarts == 1, server.crashes
        if version in HAS_A_SHELL:
            child = await a_child_of_the_shell_tool(server, world)
            assert version == "0.5.29" or os.getsid(child) != os.getsid(server.pid or 0)
        began = time.monotonic()
        await server.stop()
        assert time.monotonic() - began < 5
        assert world.processes() == {}
        assert nobody_listens(port)

    assert world.what_is_left() == NOTHING
    assert secrets_on_disk(world, SECRET, password) == []


@pytest.mark.requirement("R39")
async def test_three_servers_that_share_a_fresh_data_directory_are_ready_within_30_seconds(
    world: Project,
) -> None:
    table = opencode_table(world, opencode_binary(NEWEST))
    file = world.configure(one=table, two=table, three=table)
    events: list[Event] = []
    async with world.supervisor(file, events) as supervisor:
        began = time.monotonic()
        await supervisor.wait_ready(timeout=30)
        assert time.monotonic() - began < 30
        assert [server.restarts for server in supervisor.servers.values()] == [0, 0, 0]

    # Together they would break each other's migrations, now and then: one goes first.
    waited = [event.server for event in events if isinstance(event, Progress) and "waiting" in event.text]
    assert len(set(waited)) == 2
    assert world.what_is_left() == NOTHING


@pytest.mark.requirement("R20")
async def test_a_broken_project_configuration_is_told_and_not_tried_again(world: Project) -> None:
    (world.project / "opencode.json").write_text('{"model": 5, "nonsense": true')
    file = world.configure(opencode=opencode_table(world, opencode_binary(NEWEST)))
    async with world.supervisor(file) as supervisor:
        server = supervisor["opencode"]
        with pytest.raises(Exception, match=r"opencode\.json|onfig") as caught:
            await server.wait_ready(30)
        assert server.state is State.FAILED
        assert server.restarts == 0
        assert type(caught.value).__name__ == "InvalidConfiguration"

    assert world.what_is_left() == NOTHING


@pytest.mark.requirement("R16", "R28")
async def test_a_version_that_is_too_old_fails_in_time_with_what_it_said(world: Project) -> None:
    table = opencode_table(world, opencode_binary("0.1.174"), startup_timeout="4s")
    table["restart"] = {"start_retries": 0}
    async with world.supervisor(world.configure(opencode=table)) as supervisor:
        with pytest.raises(PortParsingFailed, match="never told") as caught:
            await supervisor["opencode"].wait_ready(10)
    assert "Unexpected error" in caught.value.context.stderr
    assert caught.value.context.hint
    assert world.what_is_left() == NOTHING
