"""simpervisor's public class on top of hostler's Supervisor."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

from hostler import (
    Directories,
    Exit,
    Exited,
    PluginSpec,
    RestartMode,
    RestartPolicy,
    Server,
    ServerSpec,
    State,
    Supervisor,
)

from .atexitasync import add_handler, remove_handler  # type: ignore[import-not-found]  # its own

RESTARTS = 1000


class KilledProcessError(Exception):
    """It was killed before, and is not started again."""


class SupervisedProcess:
    def __init__(
        self,
        name: str,
        *words: str,
        always_restart: bool = False,
        ready_func: Callable[[Any], Awaitable[bool]] | None = None,
        ready_timeout: float = 5,
        log: object = None,
        env: Mapping[str, str] | None = None,
    ) -> None:
        mode = RestartMode.ALWAYS if always_restart else RestartMode.ON_FAILURE
        policy = RestartPolicy(mode, RESTARTS, 0.01, 0.02, start_retries=RESTARTS)
        allowed = PluginSpec("env-sanitizer", {"allow": ["*"]})
        self._spec = ServerSpec(
            name=name.replace("_", "-"),
            command=words,
            port=None,
            restart=policy,
            plugins=(allowed,),
            env=env or {},
        )
        self._ready, self._ready_timeout = ready_func, ready_timeout
        self._end: Exit | None = None
        self._pid: int | None = None
        self._server: Server | None = None
        self._killed = False
        self._around = AsyncExitStack()

    @property
    def pid(self) -> int | None:
        self._pid = (self._server.pid if self._server else None) or self._pid
        return self._pid

    @property
    def running(self) -> bool:
        over = {State.STOPPED, State.FAILED}
        return not self._killed and self._server is not None and self._server.state not in over

    @property
    def returncode(self) -> int | None:
        if self._end is None:
            return None
        return -self._end.signal if self._end.signal else self._end.code

    async def start(self) -> None:
        self._refuse_the_killed()

        if self._server is None:
            folder = Path(tempfile.mkdtemp(prefix="simpervisor-"))
            self._around.callback(shutil.rmtree, folder, ignore_errors=True)
            directories = Directories(folder / "state", folder / "data", folder / "cache")
            supervisor = Supervisor(self._spec, directories=directories)
            supervisor.listen(self._listen)
            await self._around.enter_async_context(supervisor)
            add_handler(self._signalled)
            self._around.callback(remove_handler, self._signalled)
            self._server = supervisor[self._spec.name]
            while self._server.pid is None:  # noqa: ASYNC110 - a start does not wait until it is ready
                await asyncio.sleep(0.01)
        elif not self.running:
            await self._server.start()

    async def ready(self) -> bool:
        async with asyncio.timeout(self._ready_timeout):
            while self._ready is not None and not await self._ready(self):  # noqa: ASYNC110 - nothing tells
                await asyncio.sleep(0.05)
        return True

    async def terminate(self) -> None:
        await self._stop(force=False)

    async def kill(self) -> None:
        await self._stop(force=True)

    async def _stop(self, *, force: bool) -> None:
        self._refuse_the_killed()
        assert self._server is not None
        assert self.pid
        await self._server.stop(force=force)
        self._killed = True
        await self._around.aclose()

    def _refuse_the_killed(self) -> None:
        if self._killed:
            raise KilledProcessError(f"{self._spec.name} was killed before")

    def _listen(self, event: object) -> None:
        self._pid = (self._server.pid if self._server else None) or self._pid
        if isinstance(event, Exited):
            self._end = event.exit

    def _signalled(self, number: int) -> None:
        """The program ends: hostler's clean-up of a loop that ends stops the server."""
        self._killed = True
