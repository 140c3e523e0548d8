"""A program that hosts one fake server and ends as it is told: `host_program.py ENDING DIRECTORY`.

It prints "ready PID" when the server may be used. Switches of the fake server may follow.
"""

from __future__ import annotations

import asyncio
import os
import sys
import threading
from pathlib import Path

from hostler import Directories, ServerSpec, Supervisor, serve
from servers import fake_server
from specs import QUICK, announced


def make(folder: Path, switches: list[str]) -> tuple[ServerSpec, Directories]:
    command = tuple(fake_server("--port", "${server.port}", *switches))
    spec = ServerSpec(
        name="fake",
        command=command,
        plugins=(announced(),),
        restart=QUICK,
        cwd=folder,
        force_kill_timeout=0.3,
    )
    return spec, Directories(folder / "state", folder / "data", folder / "cache")


def tell(pid: int | None) -> None:
    sys.stdout.write(f"ready {pid}\n")
    sys.stdout.flush()


async def host(spec: ServerSpec, directories: Directories, ready: threading.Event) -> None:
    async with Supervisor(spec, directories=directories, namespace="host") as supervisor:
        await supervisor["fake"].wait_ready(20)
        tell(supervisor["fake"].pid)
        ready.set()
        await asyncio.Event().wait()


def in_a_thread(spec: ServerSpec, directories: Directories) -> None:
    """Host it in a daemon thread and come back when it is ready."""
    ready = threading.Event()
    threading.Thread(target=lambda: asyncio.run(host(spec, directories, ready)), daemon=True).start()
    ready.wait(20)


async def task_exits(spec: ServerSpec, directories: Directories) -> None:
    """Another task of the loop ends the program."""

    async def leave() -> None:
        await supervisor["fake"].wait_ready(20)
        tell(supervisor["fake"].pid)
        sys.exit(3)

    async with Supervisor(spec, directories=directories, namespace="host") as supervisor:
        await asyncio.gather(leave())  # raises it here once more while the loop is being torn down


async def never_left(spec: ServerSpec, directories: Directories) -> None:
    """Enter, and return without ever leaving."""
    supervisor = await Supervisor(spec, directories=directories, namespace="host").__aenter__()
    await supervisor["fake"].wait_ready(20)
    tell(supervisor["fake"].pid)


def main(ending: str, folder: Path, switches: list[str]) -> None:
    spec, directories = make(folder, switches)

    match ending:
        case "wait":
            asyncio.run(host(spec, directories, threading.Event()))
        case "task-exits":
            asyncio.run(task_exits(spec, directories))
        case "never-left":
            asyncio.run(never_left(spec, directories))
        case "loop-closed":
            loop = asyncio.new_event_loop()
            loop.run_until_complete(never_left(spec, directories))
            loop.close()
        case "serve-exit":
            with serve(spec, directories=directories) as servers:
                servers["fake"].wait_ready(20)
                tell(servers["fake"].pid)
                sys.exit(3)
        case "serve-never-left" | "serve-held":
            served = serve(spec, directories=directories)
            vars(sys)["held"] = served if ending == "serve-held" else None  # to the very end
            fake = served.__enter__()["fake"]
            fake.wait_ready(20)
            tell(fake.pid)
        case "thread-exit":
            in_a_thread(spec, directories)
            sys.exit(3)
        case "thread-raise":
            in_a_thread(spec, directories)
            raise RuntimeError("the host program failed")
        case "thread-os-exit":
            in_a_thread(spec, directories)
            os._exit(3)
        case _:
            raise ValueError(ending)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), sys.argv[3:])
