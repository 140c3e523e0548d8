"""Servers in a sandbox, and the folders that they see."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import pytest
from bubblewrap import folder_outside_tmp
from hostler import (
    Directories,
    EnvironmentSetupFailed,
    PluginSpec,
    RestartPolicy,
    Server,
    ServerSpec,
    Supervisor,
)

ONCE = RestartPolicy(start_retries=0, max_restarts=0)


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder that is not in /tmp."""
    with folder_outside_tmp() as found:
        yield found


def owned(path: Path, user: str | None) -> Path:
    path.mkdir(parents=True)
    if user is not None:
        shutil.chown(path, user)
    return path


def a_script(
    folder: Path, text: str, *, user: str | None = None, env: dict[str, str] | None = None, **options: object
) -> ServerSpec:
    """A shell script in a sandbox, which works in the folder "work"."""
    (folder / "work").exists() or owned(folder / "work", user)
    (folder / "home").exists() or owned(folder / "home", user)
    privileges = () if user is None else (PluginSpec("privileges", {"user": user}),)
    return ServerSpec(
        name="boxed",
        command=("/bin/sh", "-c", text),
        cwd=folder / "work",
        port=None,
        restart=ONCE,
        env={"HOME": str(folder / "home")} | (env or {}),
        plugins=(*privileges, PluginSpec("sandbox", options)),
    )


@asynccontextmanager
async def running(spec: ServerSpec, directories: Directories) -> AsyncIterator[tuple[Server, list[str]]]:
    """The server, and what it printed up to the line "end"."""
    async with Supervisor(spec, directories=directories) as supervisor:
        server = supervisor["boxed"]
        lines = server.lines()
        said: list[str] = []
        with anyio.fail_after(20):
            await server.wait_ready()
            async for line in lines:
                if line.text == "end":
                    break
                said.append(line.text)
        yield server, said


async def refusal(spec: ServerSpec, directories: Directories) -> EnvironmentSetupFailed:
    async with Supervisor(spec, directories=directories) as supervisor:
        with pytest.raises(EnvironmentSetupFailed) as caught:
            await supervisor["boxed"].wait_ready(20)
    assert caught.value.permanent
    return caught.value
