"""Plugins that raise, wherever they are called."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncGenerator
from dataclasses import dataclass, replace

import anyio
import pytest
from hostler import (
    Directories,
    Endpoint,
    Exit,
    Healthy,
    Launch,
    PluginSpec,
    Report,
    Server,
    ServerView,
    State,
    StreamName,
    Supervisor,
    hookimpl,
)
from specs import QUICK, MakeSpec, announced

ONCE = replace(QUICK, start_retries=0)

BROKEN: tuple[BaseException, ...] = (
    ValueError("no luck"),
    SystemExit(3),
    KeyboardInterrupt(),
    asyncio.CancelledError(),
    GeneratorExit(),
    MemoryError(),
)


@dataclass(eq=False)
class Raises:
    """Raises in one place."""

    place: str
    error: BaseException

    def at(self, place: str) -> None:
        if place == self.place:
            raise self.error

    @hookimpl
    async def pre_spawn(self, server: ServerView, launch: Launch) -> None:
        launch.defer(lambda: self.at("clean-up"))
        launch.warm_up(lambda: self.at("warm-up"))
        launch.sinks.append(self)
        self.at("pre_spawn")

    @hookimpl
    def parse_port(self) -> Endpoint | None:
        self.at("parse_port")
        return None

    @hookimpl
    async def health_check(self, server: ServerView) -> AsyncGenerator[Report, None]:
        server.start_soon(self._beside)
        self.at("first report")
        yield Healthy()
        self.at("second report")
        try:
            yield Healthy()
        finally:
            self.at("closed stream")

    @hookimpl
    async def on_ready(self) -> None:
        self.at("on_ready")

    @hookimpl
    async def on_crash(self, exit: Exit) -> None:
        self.at("on_crash")

    @hookimpl
    async def on_shutdown(self) -> None:
        self.at("on_shutdown")

    async def _beside(self) -> None:
        self.at("beside")

    def write(self, stream: StreamName, data: bytes) -> None:
        self.at("write")

    def close(self) -> None:
        self.at("close")


PLACES = ["clean-up", "warm-up", "pre_spawn", "parse_port", "first report", "second report", "closed stream"]


PLACES += ["on_ready", "on_crash", "on_shutdown", "beside", "write", "close"]


@pytest.mark.parametrize("place", PLACES)
async def test_whatever_a_plugin_raises_wherever_hurts_nobody_but_its_server(
    make_spec: MakeSpec, directories: Directories, place: str
) -> None:
    specs, patience = [], 1.5 if place == "first report" else 30.0

    for number, error in enumerate(BROKEN):
        plugins = (PluginSpec("raises", instance=Raises(place, error)), announced())
        specs.append(make_spec(name=f"fake{number}", plugins=plugins, restart=ONCE, startup_timeout=patience))

    async with Supervisor(specs, directories=directories) as supervisor:
        servers = list(supervisor.servers.values())
        with anyio.fail_after(30):
            for server in servers:
                await settles(server)
        fails = place in {"pre_spawn", "first report"}
        assert {server.state for server in servers} == {State.FAILED if fails else State.RUNNING}
        assert {"raises" in str(server.error) for server in servers} == {fails}
        if not fails:
            await each_crashes_once(servers)

    assert {server.state for server in servers} == {State.FAILED if fails else State.STOPPED}
    assert [path for path in directories.state.rglob("*") if path.is_file()] == []


async def settles(server: Server) -> None:
    await server.until(lambda: server.usable or server.is_settled())


async def comes_back(server: Server) -> None:
    await server.until(lambda: server.generation == 2 and server.usable)


async def each_crashes_once(servers: list[Server]) -> None:
    for server in servers:
        os.kill(server.pid or 0, signal.SIGKILL)
    with anyio.fail_after(30):
        for server in servers:
            await comes_back(server)
