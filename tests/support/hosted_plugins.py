"""Plugins of one host, and what it reported of them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any

import anyio
from hostler import (
    PluginSpec,
    hookimpl,
)
from hostler.plugins.hook_stats import Failure
from hostler.plugins.host import PluginHost


@dataclass
class HostedPlugins:
    """A set of plugins, and the failures that it told."""

    plugins: PluginHost
    failures: list[Failure]

    @property
    def reasons(self) -> list[str]:
        return [failure.reason for failure in self.failures]


def plugin_with(hook: str, body: Callable[[], Coroutine[Any, Any, object]]) -> object:
    """A plugin with one async hook."""

    @hookimpl(specname=hook)
    async def call(self: object) -> object:
        return await body()

    return type("Telling", (), {"call": call})()


async def ignore_cancellation(seconds: float, seen: list[str]) -> None:
    """Sleep, and go on sleeping when cancelled."""
    ends = time.monotonic() + seconds
    while (left := ends - time.monotonic()) > 0:
        try:
            await asyncio.sleep(left)
        except asyncio.CancelledError:
            seen.append("cancelled")
    seen.append("ended")


class RecordingPlugin:
    """Notes its name when it is called."""

    def __init__(self, name: str, calls: list[str]) -> None:
        self.name, self.calls = name, calls

    @hookimpl
    async def on_ready(self) -> None:
        self.calls.append(self.name)


def host_plugins(**instances: object) -> HostedPlugins:
    """A host of these plugins."""
    failures: list[Failure] = []
    specs = [PluginSpec(name, instance=instance) for name, instance in instances.items()]
    return HostedPlugins(PluginHost(specs, on_failure=failures.append), failures)


async def do_nothing() -> None:
    return None


async def raise_error(error: BaseException) -> None:
    await asyncio.sleep(0)
    raise error


async def until(condition: Callable[[], bool]) -> None:
    """Wait for what knows no event."""
    with anyio.fail_after(5):
        while not condition():  # noqa: ASYNC110 - what is waited for knows no event
            await asyncio.sleep(0.01)
