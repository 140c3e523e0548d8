"""Servers that speak the notify protocol, supervised for a test."""

from __future__ import annotations

import os
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import anyio
from hostler import (
    Directories,
    Event,
    Notice,
    PluginSpec,
    Server,
    ServerSpec,
    Supervisor,
)
from specs import QUICK

# A worker that says what it is told to through a named pipe: parts of a message with | between them.
SPEAKER = """
import array, os, socket, sys
ours = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
def say(*lines, fds=()):
    rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else []
    ours.sendmsg(["\\n".join(lines).encode()], rights, 0, os.environ["NOTIFY_SOCKET"])
open("unfinished", "w").write("\\n".join(f"{k}={v}" for k, v in os.environ.items()))
os.replace("unfinished", "environment")
for line in os.fdopen(os.open("say", os.O_RDWR)):
    say(*line.rstrip("\\n").split("|"))
"""


@dataclass
class Kept:
    """A kept worker, and what was told of it."""

    server: Server
    folder: Path
    events: list[Event] = field(default_factory=list)

    async def say(self, *lines: str) -> None:
        """Have the worker say this."""
        await self.until(lambda: self._told("|".join(lines)))

    def _told(self, line: str) -> bool:
        """Whether there was somebody who listens."""
        try:
            pipe = os.open(self.folder / "say", os.O_WRONLY | os.O_NONBLOCK)
        except OSError:
            return False
        with os.fdopen(pipe, "w") as file:
            file.write(f"{line}\n")
        return True

    async def until(self, condition: Callable[[], bool]) -> None:
        with anyio.fail_after(10):
            while not condition():  # noqa: ASYNC110 - of many kinds of events, and of none
                await anyio.sleep(0.01)

    async def health(self, said: str) -> None:
        await self.until(lambda: self.server.health == said)

    def notices(self, topic: str) -> list[str]:
        return [event.text for event in self.events if isinstance(event, Notice) and event.topic == topic]

    @property
    def environment(self) -> dict[str, str]:
        lines = (self.folder / "environment").read_text().splitlines()
        return dict(line.split("=", 1) for line in lines)

    @property
    def socket(self) -> Path:
        return Path(self.environment["NOTIFY_SOCKET"])


def python(code: str) -> tuple[str, ...]:
    return (sys.executable, "-I", "-S", "-c", code)


@asynccontextmanager
async def kept(
    directories: Directories,
    folder: Path,
    *command: str,
    options: Any = None,
    before: tuple[PluginSpec, ...] = (),
    **fields: Any,
) -> AsyncIterator[Kept]:
    """A worker that is kept with notify-ready; the speaker where no command is given."""
    if not (folder / "say").exists():
        os.mkfifo(folder / "say")

    given: dict[str, Any] = {
        "port": None,
        "restart": replace(QUICK, start_retries=0),
        "cwd": folder,
        "plugins": (*before, PluginSpec("notify-ready", options or {})),
    } | fields
    spec = ServerSpec(name="worker", command=command or python(SPEAKER), **given)
    async with Supervisor(spec, directories=directories) as supervisor:
        kept = Kept(supervisor["worker"], folder)
        supervisor.listen(kept.events.append)
        yield kept
