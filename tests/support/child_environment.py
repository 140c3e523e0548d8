"""The variables that a process really has."""

from __future__ import annotations

import anyio
import psutil
from hostler import Server


async def environment_of(server: Server) -> dict[str, str]:
    """Those of a server's process; while it is being executed there are none for a moment."""
    found: dict[str, str] = {}
    with anyio.fail_after(20):
        while "HOSTLER_RUN_ID" not in found:
            await anyio.sleep(0.002)
            found = psutil.Process(server.pid).environ()
    return found
