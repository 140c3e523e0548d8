"""A program that forks while it hosts a fake server: `fork_program.py HOST CHILD DIRECTORY GUARD`.

HOST is "serve" or "loop", CHILD what its child does. It prints "child STATUS" when the child has ended, and
"well" when its server still is, is restarted after a crash, and answers.
"""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import sys
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path

from host_program import make, tell
from hostler import BlockingServer, Directories, PluginSpec, ServerError, ServerSpec, Supervisor, serve


def forked(child: Callable[[], object]) -> None:
    """Fork; the child does its part and goes on from here, the parent waits for its end."""
    pid = os.fork()
    if pid:
        _, status = os.waitpid(pid, 0)
        print("child", os.waitstatus_to_exitcode(status), flush=True)
    else:
        child()


def exits() -> None:
    sys.exit(5)


def raises() -> None:
    raise RuntimeError("the child failed")


def leaves() -> None:
    """Go on to the end of the block, and of the program."""


def outlive() -> None:
    if not os.fork():
        sys.stdin.read()  # until the test ends it
        os._exit(0)
    os.kill(os.getpid(), signal.SIGKILL)


def uses(server: BlockingServer, pid: int | None) -> None:
    assert (server.pid, server.state.value) == (pid, "running")
    assert server.url is not None

    for call in (lambda: server.memory, lambda: server.wait_ready(5), server.stop, server.lines):
        try:
            call()
        except ServerError as error:
            told = str(error)
        else:
            told = "nothing"
        if "was forked from the one that runs the servers" not in told:
            raise AssertionError(told)

    os._exit(5)


def collects(block: AbstractContextManager[object]) -> None:
    block.__exit__(None, None, None)
    del block
    gc.collect()
    os._exit(5)


PARTS: dict[str, Callable[[], object]] = {"exits": exits, "raises": raises, "leaves": leaves}


def hosted_by_serve(child: str, spec: ServerSpec, directories: Directories) -> None:
    block, host = serve(spec, directories=directories, namespace="host"), os.getpid()
    with block as servers:
        server = servers["fake"]
        server.wait_ready(20)
        tell(server.pid)
        outlive() if child == "outlives" else None
        parts = {**PARTS, "uses": lambda: uses(server, server.pid), "collects": lambda: collects(block)}
        forked(parts[child])
        if os.getpid() == host:
            before = server.generation
            os.kill(server.pid or 0, signal.SIGKILL)
            while server.generation == before:
                time.sleep(0.01)
            server.wait_ready(20)
            assert server.memory > 0
            print("well", flush=True)


async def hosted_by_a_loop(child: str, spec: ServerSpec, directories: Directories) -> None:
    host = os.getpid()

    async with Supervisor(spec, directories=directories, namespace="host") as supervisor:
        server = supervisor["fake"]
        await server.wait_ready(20)
        tell(server.pid)
        outlive() if child == "outlives" else None
        forked(PARTS[child])
        if os.getpid() == host:
            before = server.generation
            os.kill(server.pid or 0, signal.SIGKILL)
            await server.until(lambda: server.generation > before)
            await server.wait_ready(20)
            await asyncio.to_thread(str)  # the loop still hears of other threads
            print("well", flush=True)


def main(host: str, child: str, folder: Path, guard: str) -> None:
    spec, directories = make(folder, ["--spawn-session-child", "--children-ignore-term"])
    spec = replace(spec, guard=bool(guard), plugins=(*spec.plugins, PluginSpec("log-rotation")))
    if host == "serve":
        hosted_by_serve(child, spec, directories)
    else:
        asyncio.run(hosted_by_a_loop(child, spec, directories))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], Path(sys.argv[3]), sys.argv[4])
