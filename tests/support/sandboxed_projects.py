"""Servers that work in a sandbox on a project, and what hostler tells of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import anyio
import pytest
from bubblewrap import folder_outside_tmp
from hostler import Directories, Event, Notice, PluginSpec, RestartPolicy, ServerSpec, Supervisor

__all__ = ["boxed", "folder", "notices", "run_to_exit", "seen"]


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder with "project", where the server works, and "home"."""
    with folder_outside_tmp() as found:
        (found / "project").mkdir()
        (found / "home").mkdir()
        yield found


@pytest.fixture
def seen() -> list[Notice]:
    """The notices of `run_to_exit`."""
    return []


def notices(seen: list[Notice]) -> Callable[[Event], None]:
    """A listener that keeps the notices."""
    return lambda event: seen.append(event) if isinstance(event, Notice) else None


def boxed(folder: Path, *plugins: PluginSpec, command: tuple[str, ...] = ()) -> ServerSpec:
    """A server in a sandbox, which is not restarted."""
    return ServerSpec(
        name="boxed",
        command=command,
        cwd=folder / "project",
        port=None,
        restart=RestartPolicy(start_retries=0, max_restarts=0),
        env={"HOME": str(folder / "home")},
        plugins=(*plugins, PluginSpec("sandbox", {})),
    )


async def run_to_exit(spec: ServerSpec, directories: Directories, seen: list[Notice]) -> None:
    """Start it, and wait until it has exited by itself."""
    environ = {"PATH": "/usr/bin:/bin", "HOME": str(spec.env["HOME"])}
    async with Supervisor(spec, directories=directories, environ=environ) as supervisor:
        supervisor.listen(notices(seen))
        with anyio.fail_after(30):
            await supervisor[spec.name].start()
            await supervisor.wait()
