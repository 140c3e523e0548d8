"""Keep a server up from a program: `python examples/library.py [configs/opencode.toml]`.

It waits until the server is ready, talks to it, kills it to see it come back, and leaves nothing behind.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import urllib.request
from pathlib import Path

from hostler import StateChanged, Supervisor, load

CONFIGS = Path(__file__).parent.parent / "configs"


async def main(path: Path) -> None:
    """Run the first server of a configuration through a small life."""
    async with Supervisor(load(path)) as supervisor:
        name = next(iter(supervisor))
        server = supervisor[name]
        watch = asyncio.create_task(tell(server.events()))

        await server.wait_ready(timeout=60)
        print(f"{name} is at {server.url}, pid {server.pid}, {server.memory / 2**20:.0f} MiB")
        print("GET / gives", await asyncio.to_thread(status_of, server.url, server.auth))

        # A process that is to talk to the server gets this environment: it holds OPENCODE_SERVER.
        env = server.child_env()
        print("a child would see", sorted(key for key in env if key.startswith(("OPENCODE", "DEMO"))))

        os.kill(server.pid, signal.SIGKILL)
        await server.wait_ready(timeout=60)
        print(f"killed, and back: pid {server.pid}, generation {server.generation}, at {server.url}")

    await watch
    print("stopped, nothing is left")


async def tell(events) -> None:
    """Print every change of state; ends with the supervisor."""
    async for event in events:
        if isinstance(event, StateChanged):
            print(f"  {event.previous.value} -> {event.state.value} {event.reason}".rstrip())


def status_of(url: str, auth) -> int:
    """The status of one request, with the server's credentials where it has some."""
    request = urllib.request.Request(url, headers={"Authorization": auth.header} if auth else {})
    with urllib.request.urlopen(request, timeout=10) as answer:
        return answer.status


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]) if len(sys.argv) > 1 else CONFIGS / "opencode.toml"))
