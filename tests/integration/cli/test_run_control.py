"""The control socket of a run, when the run ends."""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anyio
import pytest
from controlled import short_folder
from hostler import Directories, Notice, Supervisor
from hostler.cli import background_end, run_control
from hostler.cli.output.views import View
from hostler.cli.reload import Reloading
from hostler.cli.run_control import RunControl
from hostler.cli.run_options import ControlOptions
from hostler.control.location import control_folder, locate
from specs import MakeSpec


def reads_nothing(*_: object) -> Any:
    pytest.fail("nobody asks")


def control_of(
    options: ControlOptions, supervisor: Supervisor, end: Callable[[bool], None] = lambda force: None
) -> RunControl:
    """The control of a run that nobody reloads."""
    view = View()
    reloading = Reloading(supervisor, reads_nothing, view)
    return RunControl(
        options,
        supervisor,
        reloading,
        view,
        end=end,
        is_ending=lambda: False,
        start_rest=lambda: None,
    )


async def test_a_folder_that_is_gone_is_told_as_an_event_and_ends_the_run(
    directories: Directories, make_spec: MakeSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It looks once a minute; here at once."""
    monkeypatch.setattr(background_end, "_LOOK_SECONDS", 0.01)
    ended, notices = asyncio.Event(), []
    with short_folder() as folder:
        monkeypatch.setenv("XDG_RUNTIME_DIR", str(folder))
        async with Supervisor([make_spec(autostart=False)], directories=directories) as supervisor:
            supervisor.listen(lambda event: notices.append(event) if isinstance(event, Notice) else None)
            options = ControlOptions(folder / "gone/x.toml", reads_nothing, background=os.dup(2))
            control = control_of(options, supervisor, lambda force: ended.set())
            await control.open()
            await control.serve()
            assert ended.is_set()
            await control.close()
    assert [one.topic for one in notices] == ["configuration_gone"]


async def test_a_run_in_a_terminal_is_found_again_where_all_its_locks_were_removed(
    directories: Directories, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It looks once a minute; here at once."""
    monkeypatch.setattr(run_control, "_LOOK_SECONDS", 0.01)
    with short_folder() as folder:
        for name in ("XDG_RUNTIME_DIR", "XDG_STATE_HOME"):
            monkeypatch.setenv(name, str(folder / name))
            (folder / name).mkdir(mode=0o700)
        async with Supervisor([], directories=directories) as supervisor:
            control = control_of(ControlOptions(folder / "x.toml", reads_nothing), supervisor)
            serving = asyncio.create_task(control.serve())
            location = locate(str(folder / "x.toml"), os.environ)
            with anyio.fail_after(20):
                for _ in range(2):
                    while not location.is_held():  # noqa: ASYNC110 - files tell it
                        await asyncio.sleep(0.01)
                    assert len({one.lock for one in location.everywhere}) == 2
                    for one in location.everywhere:
                        shutil.rmtree(one.folder)
            serving.cancel()
            await control.close()


async def test_a_run_that_has_ended_does_not_listen_any_more(
    directories: Directories, monkeypatch: pytest.MonkeyPatch
) -> None:
    with short_folder() as folder:
        monkeypatch.setenv("XDG_RUNTIME_DIR", str(folder))
        async with Supervisor([], directories=directories) as supervisor:
            control = control_of(ControlOptions(Path("x.toml"), reads_nothing, background=0), supervisor)
            opening = asyncio.create_task(control.open())
            await asyncio.sleep(0)  # it imports in a thread now
            await control.close()
            await opening
        assert not Path(control_folder(os.environ)).exists()  # noqa: ASYNC240
