"""The variables that a process is given, and those that it really has."""

from __future__ import annotations

import os
from collections.abc import Mapping

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


def without_coverage(environ: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Those for a process that is not measured: coverage imports modules, and writes a file at the end."""
    return {name: value for name, value in environ.items() if not name.startswith("COV")}
