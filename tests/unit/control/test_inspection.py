"""What the control API tells of one server: memory, processes, plugins, work and crashes."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path
from typing import Any

import anyio
import pytest
from controlled import Client, controlled, short_folder
from hostler import (
    Control,
    Directories,
    Endpoint,
    MemorySampled,
    PluginSpec,
    RestartPolicy,
    State,
    Supervisor,
    hookimpl,
)
from hostler.control import memory
from idle_servers import Tells
from specs import MakeSpec, worker


class Failing:
    @hookimpl
    async def on_ready(self, server: object, endpoint: Endpoint) -> None:
        raise ValueError("no")


async def test_memory_is_sampled_while_somebody_looks(
    make_spec: MakeSpec, directories: Directories, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory, "_INTERVAL", 0.05)
    async with controlled(make_spec("--spawn-child"), directories=directories) as client:
        await client.supervisor.wait_ready(timeout=20)
        points: list[Any] = []
        while len(points) < 4:  # each look has it go on, and none of these waits for a sample but the first
            points = (await client.get("/v1/servers/fake/memory"))["points"]
        row = await client.get("/v1/servers/fake")
    assert {(one["generation"], one["processes"]) for one in points} == {(1, 2)}
    assert min(one["rss"] for one in points) > 2**20
    assert [one["cpu_seconds"] for one in points] == sorted(one["cpu_seconds"] for one in points)
    assert [one["time"] for one in points] == sorted(one["time"] for one in points)
    assert row["memory"]["processes"] == 2
    assert row["cpu_seconds"] > 0


async def test_samples_of_the_supervisor_are_kept_at_most_every_ten_seconds(
    make_spec: MakeSpec, directories: Directories
) -> None:
    spec = worker(make_spec, "sleep", "60", memory_interval=0.02)
    async with controlled(spec, directories=directories) as client:
        events = client.supervisor.events()
        with anyio.fail_after(20):
            count = 0
            async for event in events:
                count += isinstance(event, MemorySampled)
                if count == 5:
                    break
        points = (await client.get("/v1/servers/fake/memory"))["points"]
        assert len(points) == 2  # the first, and the last
        assert points[0]["processes"] == 1


async def test_nothing_is_sampled_when_nobody_looks_any_more(
    make_spec: MakeSpec, directories: Directories, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory, "_INTERVAL", 0.01)
    async with controlled(worker(make_spec, "sleep", "60"), directories=directories) as client:
        await client.supervisor.wait_ready(timeout=20)
        await client.get("/v1/servers/fake/memory")
        (ticking,) = (one for one in asyncio.all_tasks() if one.get_name() == "hostler memory")
        with anyio.fail_after(20):
            while len(client.supervisor["fake"].memory_points) < 3:  # noqa: ASYNC110 - none is reported
                await anyio.sleep(0.01)
            monkeypatch.setattr(memory, "_LOOKED_SECONDS", 0.0)
            await client.get("/v1/servers/fake/memory")
            await ticking  # it ends by itself


async def test_a_stopped_server_uses_nothing_now_and_its_past_stays(
    make_spec: MakeSpec, directories: Directories
) -> None:
    async with controlled(worker(make_spec, "sleep", "60"), directories=directories) as client:
        await client.supervisor.wait_ready(timeout=20)
        assert (await client.get("/v1/servers/fake"))["memory"]["processes"] == 1
        await client.supervisor["fake"].stop()
        row = await client.get("/v1/servers/fake")
        assert (row["memory"], row["cpu_seconds"]) == (None, None)
        assert len((await client.get("/v1/servers/fake/memory"))["points"]) == 1
        assert (await client.get("/v1/servers/fake/processes"))["processes"] == []

        await client.supervisor.remove("fake")
        await client.supervisor.add(worker(make_spec, "sleep", "60", autostart=False))
        assert (await client.get("/v1/servers/fake/memory"))["points"] == []


async def test_processes_are_a_tree_without_arguments(make_spec: MakeSpec, directories: Directories) -> None:
    spec = worker(make_spec, "sh", "-c", "sh -c 'sleep 61; :' secret-argument; :")
    async with controlled(spec, directories=directories) as client:
        server = client.supervisor["fake"]
        await client.supervisor.wait_ready(timeout=20)
        rows: list[Any] = []
        while [one["name"] for one in rows] != ["sh", "sh", "sleep"]:
            answer = await client.ask("GET", "/v1/servers/fake/processes")
            assert b"secret-argument" not in answer.body
            rows = answer.json()["processes"]  # type: ignore[assignment]
        assert [one["parent"] for one in rows] == [os.getpid(), *(one["pid"] for one in rows[:-1])]
        assert rows[0]["pid"] == server.pid
        assert min(one["rss"] for one in rows) > 0


async def test_a_process_that_is_called_as_a_secret_is_told_masked(
    make_spec: MakeSpec, directories: Directories, tmp_path: Path
) -> None:
    program = tmp_path / "sesame-94-open"
    program.write_text("#!/bin/sh\nwhile :; do sleep 60; done\n")
    program.chmod(0o755)
    spec = worker(make_spec, "sh", "-c", './"$API_KEY"; :', cwd=tmp_path, env={"API_KEY": program.name})
    async with controlled(spec, directories=directories) as client:
        await client.supervisor.wait_ready(timeout=20)
        names: list[str] = []
        while "sleep" not in names:
            rows = (await client.get("/v1/servers/fake/processes"))["processes"]
            names = [one["name"] for one in rows]
        assert names == ["sh", "********", "sleep"]


async def test_what_was_before_the_socket_is_shown_too(make_spec: MakeSpec, directories: Directories) -> None:
    spec = make_spec(restart=RestartPolicy(initial_delay=0.01))
    async with Supervisor(spec, directories=directories) as supervisor:
        server = supervisor["fake"]
        await server.wait_ready(20)
        assert server.pid is not None
        os.kill(server.pid, signal.SIGKILL)
        await server.wait_for(State.CRASHED, timeout=20)
        await server.wait_ready(20)
        with short_folder() as folder:
            environ = {"XDG_STATE_HOME": str(folder)}
            async with Control(supervisor, configuration=folder / "x.toml", environ=environ) as control:
                row = await Client(supervisor, control).get("/v1/servers/fake")
    assert row["since"] is not None
    assert row["ready_seconds"] > 0
    assert (row["crashes"], row["last_crash"]["number"]) == (1, 1)


async def test_plugins_are_told_with_their_calls_and_failures(
    make_spec: MakeSpec, directories: Directories
) -> None:
    spec = make_spec(plugins=(PluginSpec("bad", instance=Failing()),))
    async with controlled(spec, directories=directories) as client:
        server = client.supervisor["fake"]
        for _ in range(3):
            await server.ensure(20)
            await _until_failed(client)
            await server.restart()
        await server.wait_ready(20)
        (row,) = (await client.get("/v1/plugins"))["hooks"]
        assert row["seconds"] >= 0
        del row["seconds"]
        assert row == {
            "server": "fake",
            "plugin": "bad",
            "hook": "on_ready",
            "calls": 3,
            "failures": 3,
            "disabled": True,
        }
        assert (await client.get("/v1/servers/fake"))["hooks_out"] == ["bad.on_ready"]


async def _until_failed(client: Client) -> None:
    generation = client.supervisor["fake"].generation
    while True:
        page = await client.get("/v1/events?kind=plugin_failed&limit=1000")
        if generation in {one["generation"] for one in page["events"]}:
            return


@pytest.mark.parametrize(
    ("fact", "answer", "expected"),
    [
        ("what_runs", ["job"], {"idle": False, "running": ["job"]}),
        ("what_runs", [], {"idle": True, "running": []}),
        ("nothing", None, {"idle": None, "running": None}),
    ],
)
async def test_what_runs_on_it_is_told(
    fact: str, answer: object, expected: object, make_spec: MakeSpec, directories: Directories
) -> None:
    spec = make_spec(plugins=Tells(fact, answer).plugins)
    async with controlled(spec, directories=directories) as client:
        await client.supervisor.wait_ready(timeout=20)
        assert await client.get("/v1/servers/fake/work") == expected


async def test_one_crash_is_found_by_its_number(make_spec: MakeSpec, directories: Directories) -> None:
    spec = worker(make_spec, "sh", "-c", "echo é >&2; exec sleep 60")
    async with controlled(spec, directories=directories) as client:
        server = client.supervisor["fake"]
        for number in (1, 2):
            await server.wait_ready(20)
            while (await server.processes())[0].name != "sleep":
                pass
            assert server.pid is not None
            os.kill(server.pid, signal.SIGKILL)
            await server.wait_for(State.CRASHED, timeout=20)
            await server.until(lambda: server.state is not State.CRASHED)
            assert (await client.get("/v1/servers/fake"))["last_crash"]["number"] == number
        listed = (await client.get("/v1/servers/fake/crashes"))["crashes"]
        assert [one["number"] for one in listed] == [1, 2]
        answer = await client.ask("GET", "/v1/servers/fake/crashes/2")
        assert answer.json() == listed[1]
        assert answer.json()["stderr"] == "é\n"
        assert answer.body.isascii()
        for wrong in ("3", "0", "x"):
            problem = await client.problem("GET", f"/v1/servers/fake/crashes/{wrong}")
            assert problem == (404, "not_found", f"there is no crash {wrong!r} of it; there are: 1 to 2")
