"""Specs of fake servers, and how the engine finds what those announce."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Protocol

from hostler import Endpoint, PluginSpec, RestartPolicy, ServerSpec, hookimpl

QUICK = RestartPolicy(initial_delay=0.01, max_delay=0.05, stable_after=60.0)


@dataclass(eq=False)
class Announced:
    """Finds what the fake server announces, so that tests of the engine need no bundled plugin."""

    @hookimpl
    def parse_port(self, line: str) -> Endpoint | None:
        found = re.search(r"listening on (https?)://([^/]+):(\d+)", line)
        return None if found is None else Endpoint(found[2], int(found[3]), found[1])


def announced() -> PluginSpec:
    return PluginSpec("announced", instance=Announced())


class MakeSpec(Protocol):
    """Makes the spec of a fake server from its switches."""

    def __call__(self, *switches: str, plugins: tuple[Any, ...] = ..., **fields: Any) -> ServerSpec: ...


def with_plugin(plugin: object) -> tuple[PluginSpec, ...]:
    """The usual plugins, and this one."""
    return (announced(), PluginSpec("odd", instance=plugin))


def worker(make_spec: MakeSpec, *command: str, **fields: Any) -> ServerSpec:
    """A server without a port: ready when it is spawned."""
    return make_spec(command=command, port=None, plugins=(), **fields)
