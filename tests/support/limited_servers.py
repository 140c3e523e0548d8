"""Servers in control groups."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import control_groups
import pytest
from hostler import (
    PluginSpec,
    RestartPolicy,
    ServerSpec,
)
from hostler_plugins.resource_limits.cgroup import own_group


@pytest.fixture
def parent() -> Iterator[Path]:
    """A group that was handed to us."""
    yield from control_groups.new_group()


@contextmanager
def inside(group: Path) -> Iterator[None]:
    """Be in a group for a while, as a service is."""
    before = own_group(read("/proc/self/cgroup"), read("/proc/self/mountinfo"))
    assert before is not None
    (group / "cgroup.procs").write_text("0")
    try:
        yield
    finally:
        (before / "cgroup.procs").write_text("0")


def read(path: str | Path) -> str:
    return Path(path).read_text()


def a_server(parent: Path | str, *command: str, **options: object) -> ServerSpec:
    return ServerSpec(
        name="grouped",
        command=command or ("/bin/sh", "-c", control_groups.ESCAPES),
        port=None,
        restart=RestartPolicy(start_retries=0, max_restarts=0),
        plugins=(PluginSpec("resource-limits", {"cgroup": str(parent), "interval": "20ms"} | options),),
    )
