"""Supervisors with a control socket, and requests to it from another thread."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

from hostler import Configuration, ControlSpec, Directories, ServerSpec, Supervisor
from hostler.cli.client.transport import Answer, request
from hostler.control.control import Control


@contextmanager
def short_folder() -> Iterator[Path]:
    """A private folder whose path leaves room for the name of a socket, which those of pytest do not."""
    folder = Path(tempfile.mkdtemp(prefix="hc-", dir="/tmp"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


class Client:
    """Sends requests to one control socket."""

    def __init__(self, supervisor: Supervisor, control: Control) -> None:
        self.supervisor = supervisor
        self.control = control

    async def ask(self, method: str, target: str, body: object = None) -> Answer:
        return await asyncio.to_thread(request, self.control.socket, method, target, body, timeout=20)

    async def get(self, target: str) -> dict[str, Any]:
        answer = await self.ask("GET", target)
        assert answer.status == 200, answer.body
        return answer.json()

    async def post(self, target: str, **body: object) -> dict[str, Any]:
        answer = await self.ask("POST", target, body)
        assert answer.status in {200, 202}, answer.body
        return answer.json() if answer.body else {}

    async def problem(self, method: str, target: str, body: object = None) -> tuple[int, str, str]:
        """The status, the kind and the detail of a request that is refused."""
        answer = await self.ask(method, target, body)
        assert answer.headers["content-type"] == "application/problem+json"
        found = answer.json()
        assert found["status"] == answer.status
        return answer.status, str(found["type"]).removeprefix("/problems/"), str(found["detail"])


@asynccontextmanager
async def controlled(
    *given: ServerSpec | Configuration,
    directories: Directories,
    host: Any = None,
    relistens: bool = False,
    spec: ControlSpec | None = None,
) -> AsyncIterator[Client]:
    """Supervise these servers, or a configuration, with a control socket of their own."""
    with short_folder() as folder:
        environ = {"XDG_STATE_HOME": str(folder)}
        specs = [one for one in given if isinstance(one, ServerSpec)]
        configured = next((one for one in given if isinstance(one, Configuration)), specs)
        supervisor = Supervisor(configured, namespace="test", directories=directories)
        control = Control(
            supervisor,
            configuration=folder / "hostler.toml",
            environ=environ,
            host=host,
            relistens=relistens,
            spec=spec,
        )
        async with supervisor, control:
            yield Client(supervisor, control)
