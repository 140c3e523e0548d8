"""A configuration to be changed, and what a supervisor tells of the change."""

from __future__ import annotations

from pathlib import Path
from textwrap import dedent

import anyio
import pytest
from hostler import (
    Configuration,
    Event,
    Notice,
    StateChanged,
    Supervisor,
    load,
)
from servers import fake_server


@pytest.fixture
def configuration(tmp_path: Path) -> Configuration:
    """One server, and a template of others."""
    command = fake_server("--port", "${server.port}", "--print", "${parameter.word}")
    text = f"""
    [templates.fake]
    parameters = {{ word = {{ required = true }} }}
    command = {command}
    plugins = {{ regex-port = true }}
    [servers.first]
    template = {{ use = "fake", word = "one" }}
    """
    file = tmp_path / "hostler.toml"
    file.write_text(dedent(text))
    return load(file)


def story(events: list[Event]) -> list[str]:
    """The states of all servers, in order."""
    return [f"{event.server} {event.state.value}" for event in events if isinstance(event, StateChanged)]


def notices(events: list[Event]) -> list[str]:
    """The topics of all servers, in order."""
    return [f"{event.server} {event.topic}" for event in events if isinstance(event, Notice)]


async def ready(supervisor: Supervisor, *names: str) -> None:
    """Wait until these servers are ready."""
    with anyio.fail_after(20):
        await supervisor.wait_ready(*names)


def pids(supervisor: Supervisor) -> dict[str, int | None]:
    """The pid of each server."""
    return {name: server.pid for name, server in supervisor.servers.items()}
