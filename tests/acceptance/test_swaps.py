"""Each of the five original plugins is swapped for another that does its work, by one line of TOML."""

from __future__ import annotations

import json
import urllib.request

import anyio
import psutil
import pytest
from cli_project import NOTHING, Project
from hostler import EndpointFound, Event, HealthReported, Server
from servers import fake_server

COMMAND = json.dumps(fake_server("--host", "${server.host}", "--port", "${server.port}"))
LINES = {
    "opencode": "opencode = true",
    "regex-port": "regex-port = true",
    "sse-health": 'sse-health = { reconnect = "20ms" }',
    "log-rotation": 'log-rotation = { path = "fake.log" }',
    "env-sanitizer": "env-sanitizer = true",
}
FILE = "\n".join(
    [
        "[servers.fake]",
        f"command = {COMMAND}",
        'env = { KEPT = "kept", DROPPED = "dropped" }',
        "[servers.fake.plugins]",
        *LINES.values(),
        "",
    ]
)

OTHERS = '''
from dataclasses import dataclass
from pathlib import Path
from hostler import Endpoint, hookimpl, option

@dataclass(eq=False)
class Launcher:
    """Completes the command line of another server."""

    greets: str = option(..., "the path that it answers")

    @hookimpl
    async def pre_spawn(self, launch):
        launch.argv += ["--answer", self.greets, "200"]

@dataclass(eq=False)
class LastNumber:
    """Takes the number after the last colon for the port."""

    @hookimpl
    def parse_port(self, server, line):
        number = line.rpartition(":")[2]
        return Endpoint(server.spec.host, int(number)) if number.isdecimal() else None

@dataclass(eq=False)
class OneFile:
    """Writes all output to one file that is never rotated."""

    path: Path = option(Path("all.txt"), "the file, seen from the data directory")

    @hookimpl
    async def pre_spawn(self, launch):
        launch.data_dir.mkdir(parents=True, exist_ok=True)
        launch.sinks.append(Sink((launch.data_dir / self.path).open("ab", buffering=0)))

class Sink:
    def __init__(self, file):
        self.file = file

    def write(self, stream, data):
        self.file.write(data)

    def close(self):
        self.file.close()

@dataclass(eq=False)
class Only:
    """Lets these variables pass, and no others."""

    names: list[str] = option(..., "the variables")

    @hookimpl(trylast=True)
    async def pre_spawn(self, launch):
        for name in set(launch.env) - set(self.names):
            del launch.env[name]
'''


class Swapped:
    """One server of a file in which one line was changed, and what it told."""

    def __init__(self, world: Project, name: str, line: str) -> None:
        world.write(OTHERS, "others.py")
        self.text = FILE.replace(LINES[name], line)
        assert len(set(self.text.splitlines()) ^ set(FILE.splitlines())) == 2
        self.events: list[Event] = []
        self.world = world
        self.supervisor = world.supervisor(world.write(self.text), self.events)

    async def __aenter__(self) -> Server:
        supervisor = await self.supervisor.__aenter__()
        await supervisor["fake"].wait_ready(20)
        return supervisor["fake"]

    async def __aexit__(self, *error: object) -> None:
        await self.supervisor.__aexit__(None, None, None)
        assert self.world.what_is_left() == NOTHING


def status_of(url: str) -> int:
    with urllib.request.urlopen(url, timeout=10) as answer:
        return int(answer.status)


def environ_of(server: Server) -> dict[str, str]:
    assert server.pid is not None
    return psutil.Process(server.pid).environ()


@pytest.mark.requirement("R45")
async def test_opencode_is_swapped_for_the_launcher_of_another_server(world: Project) -> None:
    line = 'launcher = { use = "others.py:Launcher", greets = "/hello" }'
    async with Swapped(world, "opencode", line) as server:
        assert server.auth is None
        assert await anyio.to_thread.run_sync(status_of, f"{server.url}/hello") == 200


@pytest.mark.requirement("R45")
async def test_regex_port_is_swapped_for_another_reader_of_lines(world: Project) -> None:
    swapped = Swapped(world, "regex-port", 'last-number = { use = "others.py:LastNumber" }')
    async with swapped as server:
        found = [event for event in swapped.events if isinstance(event, EndpointFound)]
        assert [event.source for event in found] == ["last-number"]
        assert server.endpoint == found[0].endpoint


@pytest.mark.requirement("R45")
async def test_sse_health_is_swapped_for_another_health_plugin(world: Project) -> None:
    swapped = Swapped(
        world, "sse-health", 'http-health = { path = "/global/health", json = { healthy = true } }'
    )
    async with swapped as server:
        said = {event.plugin for event in swapped.events if isinstance(event, HealthReported)}
        assert "http-health" in said
        assert "sse-health" not in said
        assert server.health == "healthy"


@pytest.mark.requirement("R45")
async def test_log_rotation_is_swapped_for_another_sink(world: Project) -> None:
    async with Swapped(world, "log-rotation", 'one-file = { use = "others.py:OneFile" }') as server:
        assert server.endpoint is not None
        announced = f":{server.endpoint.port}"
    assert announced in world.logged("all.txt")
    assert not list(world.directories.data.rglob("fake.log"))


@pytest.mark.requirement("R45")
async def test_env_sanitizer_is_swapped_for_another(world: Project) -> None:
    line = 'only = { use = "others.py:Only", names = ["PATH", "HOME", "KEPT"] }'
    async with Swapped(world, "env-sanitizer", line) as server:
        environ = environ_of(server)
        assert environ["KEPT"] == "kept"
        assert "DROPPED" not in environ
        assert "LANG" not in environ


async def test_the_file_with_the_five_as_they_are_is_right_too(world: Project) -> None:
    world.write(FILE)
    checked = world.hostler("check")
    assert checked.end() == 0, checked.err
