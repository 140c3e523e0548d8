"""A program that hosts one server and runs short of something: `shortage_program.py WHAT WHEN DIRECTORY`.

WHAT is processes or descriptors; WHEN is before (the first start), running (then the server is killed) or
ever (from before the first start on). It prints one JSON object for each event, and "lifted" and "well".
"""

from __future__ import annotations

import asyncio
import json
import os
import resource
import signal
import sys
from pathlib import Path
from typing import Any

import anyio
from hostler import Directories, Event, RestartPolicy, Server, ServerSpec, State, Supervisor
from servers import fake_server
from specs import announced

LIMITS = {"processes": resource.RLIMIT_NPROC, "descriptors": resource.RLIMIT_NOFILE}
PATIENT = RestartPolicy(initial_delay=0.1, max_delay=0.2, max_restarts=1000, start_retries=1000)
BRIEF = RestartPolicy(initial_delay=0.01, max_delay=0.02, max_restarts=2, start_retries=2)


def make(what: str, when: str) -> ServerSpec:
    """Another user than root cannot run the Python of a home directory."""
    fields: dict[str, Any] = {
        "cwd": Path("/"),
        "autostart": when == "running",
        "env": {"API_TOKEN": "my<secret>"},
    }
    fields |= {"restart": BRIEF if when == "ever" else PATIENT}
    if what == "processes":
        return ServerSpec(name="short", command=("sleep", "300"), port=None, **fields)
    command = tuple(fake_server("--port", "${server.port}"))
    return ServerSpec(name="short", command=command, plugins=(announced(),), **fields)


def lower(what: str) -> tuple[int, int]:
    """Leave nothing of it; what there was."""
    kind = LIMITS[what]
    before = resource.getrlimit(kind)
    free = os.open("/", os.O_RDONLY)
    os.close(free)
    resource.setrlimit(kind, (1 if what == "processes" else free, before[1]))
    return before


def tell(event: Event) -> None:
    print(json.dumps(event.as_dict()), flush=True)


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


async def three_starts(server: Server) -> None:
    """Wait until the server was started three times more."""
    # Not by its states: a start that fails at once leaves backoff and is back within one turn of the loop.
    last = server.generation + 3
    with anyio.fail_after(20):
        await server.until(lambda: server.generation >= last)


async def live(supervisor: Supervisor, what: str, when: str) -> None:
    server = supervisor["short"]

    if when == "running":
        await server.wait_ready(20)

    before = lower(what)

    if when == "running":
        os.kill(server.pid or 0, signal.SIGKILL)
    else:
        server._engine.ask_up()

    if when == "ever":
        with anyio.fail_after(20):
            await server.until(lambda: server.state is State.FAILED)
        await supervisor.close()
        resource.setrlimit(LIMITS[what], before)  # only now: to be counted
        return

    await three_starts(server)
    resource.setrlimit(LIMITS[what], before)
    print("lifted", flush=True)
    await server.wait_ready(20)
    await server.stop()
    print("well", flush=True)


async def main(what: str, when: str, folder: Path) -> None:
    directories = Directories(folder / "state", folder / "data", folder / "cache")
    spec = make(what, when)
    held = descriptors()
    async with Supervisor(spec, directories=directories) as supervisor:
        supervisor.listen(tell)
        await live(supervisor, what, when)
    left = descriptors() - held
    print(json.dumps({"event": "left", "descriptors": left}), flush=True)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], Path(sys.argv[3])))
