"""When a run in the background ends by itself."""

from __future__ import annotations

import asyncio
from pathlib import Path
from time import monotonic

import anyio
import pytest
from hostler import Directories, Notice, Supervisor
from hostler.cli import background_end
from hostler.cli.background_end import BackgroundEnd
from specs import MakeSpec, worker


async def test_it_ends_when_its_folder_is_gone_twice_in_a_row(
    make_spec: MakeSpec, directories: Directories, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(background_end, "_LOOK_SECONDS", 0.01)
    folder, looks = tmp_path / "project", 0

    def look() -> None:
        nonlocal looks
        looks += 1
        if looks == 2:  # somebody puts another in its place
            folder.mkdir()
        elif looks == 3:
            folder.rmdir()

    spec = worker(make_spec, "sleep", "60")
    async with Supervisor(spec, directories=directories) as supervisor:
        told: list[str] = []
        supervisor.listen(lambda event: told.append(event.topic) if isinstance(event, Notice) else None)
        with anyio.fail_after(20):
            assert await BackgroundEnd(supervisor, folder, None, lambda: 0.0).wait(look) == ""
    assert looks == 4
    assert told == ["configuration_gone"]


async def test_it_ends_so_long_after_the_last_server_and_the_last_client(
    make_spec: MakeSpec, directories: Directories, tmp_path: Path
) -> None:
    left = monotonic()
    spec = worker(make_spec, "sleep", "60")
    async with Supervisor(spec, directories=directories) as supervisor:
        await supervisor.wait_ready(timeout=20)
        end = BackgroundEnd(supervisor, tmp_path, 0.5, lambda: monotonic() - left)
        ending = asyncio.create_task(end.wait(lambda: None))
        await asyncio.sleep(0.4)  # between two looks
        await supervisor.stop(force=True)
        stopped = monotonic()
        await asyncio.sleep(0.3)
        left = monotonic()  # a client was there
        with anyio.fail_after(20):
            assert await ending == "nothing has run for long enough: shutting down"
    assert monotonic() - stopped >= 0.5
    assert monotonic() - left >= 0.5
