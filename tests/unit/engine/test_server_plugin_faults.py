"""Plugins, tasks and log handlers that misbehave do not end the engine."""

from __future__ import annotations

import asyncio
import errno
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import anyio
import anyio.lowlevel
import pytest
from hostler import (
    Directories,
    Launch,
    Notice,
    ServerView,
    State,
    Supervisor,
    hookimpl,
)
from specs import QUICK, MakeSpec, with_plugin
from supervised_servers import reaches


@dataclass(eq=False)
class Defers:
    """Defers one clean-up."""

    cleanup: Callable[[], Any]

    @hookimpl
    async def pre_spawn(self, launch: Launch) -> None:
        launch.defer(self.cleanup)


async def _is_cancelled() -> None:
    raise asyncio.CancelledError


async def _exits() -> None:
    raise SystemExit(3)


def _exits_at_once() -> None:
    raise SystemExit(3)


@pytest.mark.parametrize("cleanup", [_is_cancelled, _exits, _exits_at_once])
async def test_no_clean_up_ends_the_engine(
    make_spec: MakeSpec, directories: Directories, cleanup: Callable[[], Any]
) -> None:
    notices: list[str] = []

    async with Supervisor(
        make_spec(plugins=with_plugin(Defers(cleanup))), directories=directories
    ) as supervisor:
        server = supervisor["fake"]
        supervisor.listen(lambda event: notices.append(event.topic) if isinstance(event, Notice) else None)
        await server.wait_ready(10)
        with anyio.fail_after(10):
            await server.restart()
            await server.wait_ready()
            await server.stop()

    assert notices == ["cleanup_failed"] * 2


@dataclass(eq=False)
class Beside:
    """Has something done beside the run."""

    work: Callable[[], Any]

    @hookimpl
    async def pre_spawn(self, server: ServerView, launch: Launch) -> None:
        launch.warm_up(_exits_at_once)
        server.start_soon(self.work)


@pytest.mark.parametrize("work", [_is_cancelled, _exits, _exits_at_once])
async def test_nothing_beside_a_run_ends_the_engine(
    make_spec: MakeSpec, directories: Directories, work: Callable[[], Any]
) -> None:
    async with Supervisor(
        make_spec(plugins=with_plugin(Beside(work))), directories=directories
    ) as supervisor:
        await supervisor["fake"].wait_ready(10)
        await anyio.sleep(0.1)
        assert supervisor["fake"].state is State.RUNNING


async def test_a_task_that_is_started_while_a_run_ends_ends_with_it(
    make_spec: MakeSpec, directories: Directories
) -> None:
    plugin = Persistent()
    async with Supervisor(make_spec(plugins=with_plugin(plugin)), directories=directories) as supervisor:
        await supervisor["fake"].wait_ready(10)
        await supervisor["fake"].stop()
        left = [task for task in asyncio.all_tasks() if "background" in task.get_name()]
        assert left == []
    assert plugin.starts == 1


@dataclass(eq=False)
class Persistent:
    """Starts again what was cancelled."""

    starts: int = field(init=False, default=0)
    _server: ServerView | None = field(init=False, default=None)

    @hookimpl
    async def on_ready(self, server: ServerView) -> None:
        self._server = server
        server.start_soon(self._work)

    async def _work(self) -> None:
        self.starts += 1
        try:
            await anyio.sleep_forever()
        finally:
            assert self._server is not None
            self._server.start_soon(self._work)


class Angry(logging.Handler):
    """A host's log handler that is broken."""

    def emit(self, record: logging.LogRecord) -> None:
        raise OSError(errno.ENOSPC, "no room for logs")


@contextmanager
def logging_to(handler: logging.Handler) -> Iterator[None]:
    logger = logging.getLogger("hostler")
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)


async def test_a_broken_log_handler_of_the_host_hurts_nobody(
    make_spec: MakeSpec, directories: Directories
) -> None:
    complaints: list[str] = []
    asyncio.get_running_loop().set_exception_handler(
        lambda _, told: complaints.append(str(told["exception"]))
    )

    with logging_to(Angry(logging.WARNING)):
        async with Supervisor(make_spec("--exit-after", "0.2"), directories=directories) as supervisor:
            await reaches(supervisor["fake"], State.FAILED)
            assert supervisor["fake"].generation == 1 + QUICK.max_restarts

    assert "no room for logs" in complaints[0]
