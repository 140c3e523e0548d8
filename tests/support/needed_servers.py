"""Servers and tasks that need each other, waited for and killed."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import anyio
from hostler import Kind, RestartMode, Server, ServerSpec
from specs import QUICK

NEVER = replace(QUICK, policy=RestartMode.NEVER, start_retries=0)


def task(script: str, **fields: Any) -> ServerSpec:
    given: dict[str, Any] = {"name": "task", "kind": Kind.TASK, "restart": NEVER} | fields
    return ServerSpec(command=("sh", "-c", script), **given)


async def ready(*servers: Server) -> None:
    with anyio.fail_after(20):
        for server in servers:
            await server.wait_ready()


async def until(server: Server, condition: Callable[[], bool]) -> None:
    with anyio.fail_after(20):
        await server.until(condition)


def kill(server: Server) -> None:
    assert server.pid is not None
    os.kill(server.pid, signal.SIGKILL)
