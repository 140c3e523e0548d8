"""One line of TOML for another: the demo server is kept by any health plugin; the worker by any readiness."""

from __future__ import annotations

import json
import os
import re
import signal
import sys
from pathlib import Path

import anyio
import pytest
from hostler import Configuration, Directories, Event, HealthReported, Supervisor, load

CONFIGS = Path(__file__).parents[3] / "configs"
HEALTH = r"(?m)^sse-health = .*$"
READY = r"(?m)^notify-ready = .*$"
ASK = json.dumps(
    [
        sys.executable,
        "-c",
        "import sys, urllib.request; urllib.request.urlopen(sys.argv[1])",
        "${server.url}/global/health",
    ]
)


def swapped(name: str, line: str, other: str, folder: Path) -> Configuration:
    """The shipped file with one line changed."""
    text, count = re.subn(line, lambda _: other, (CONFIGS / f"{name}.toml").read_text())
    assert count == 1
    file = folder / f"{name}.toml"
    file.write_text(text.replace("${config.dir}", str(CONFIGS)))
    return load(file)


async def keeps(configuration: Configuration, directories: Directories) -> set[str]:
    """Start the server, kill it, have it back; who said that it works."""
    events: list[Event] = []
    (name,) = configuration.servers

    async with Supervisor(configuration, directories=directories) as supervisor:
        supervisor.listen(events.append)
        server = supervisor[name]
        await server.wait_ready(20)
        assert server.pid is not None
        os.kill(server.pid, signal.SIGKILL)
        with anyio.fail_after(20):
            await server.until(lambda: server.generation == 2)
        await server.wait_ready(20)

    return {event.plugin for event in events if isinstance(event, HealthReported) and event.healthy}


@pytest.mark.parametrize(
    ("plugin", "line"),
    [
        ("sse-health", 'sse-health = { path = "/event" }'),
        ("http-health", 'http-health = { path = "/global/health", json = { healthy = true } }'),
        (
            "tcp-health",
            r'tcp-health = { send = "GET / HTTP/1.0\r\nHost: localhost\r\n\r\n", expect = "^HTTP/1.1 200" }',
        ),
        ("exec-health", f"exec-health = {{ command = {ASK} }}"),
        ("log-ready", 'log-ready = { pattern = "demo server listening on" }'),
    ],
)
async def test_the_demo_server_is_kept_by_any_health_plugin(
    plugin: str, line: str, tmp_path: Path, directories: Directories
) -> None:
    assert await keeps(swapped("demo", HEALTH, line, tmp_path), directories) == {plugin}


@pytest.mark.parametrize(
    ("plugin", "line"),
    [
        ("notify-ready", 'notify-ready = { watchdog = "10s" }'),
        ("log-ready", 'log-ready = { pattern = "^the worker is ready$" }'),
        ("exec-health", 'exec-health = { command = ["true"] }'),
    ],
)
async def test_the_worker_is_kept_by_any_kind_of_readiness(
    plugin: str, line: str, tmp_path: Path, directories: Directories
) -> None:
    assert await keeps(swapped("worker", READY, line, tmp_path), directories) == {plugin}


@pytest.mark.parametrize(("name", "plugin"), [("demo-http", "http-health"), ("worker", "notify-ready")])
async def test_the_shipped_files_keep_what_they_are_for(
    name: str, plugin: str, directories: Directories
) -> None:
    assert await keeps(load(CONFIGS / f"{name}.toml"), directories) == {plugin}
