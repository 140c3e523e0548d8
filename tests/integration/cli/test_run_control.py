"""The control socket of a run, when the run ends."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest
from controlled import short_folder
from hostler import Directories, Supervisor
from hostler.cli.output.views import View
from hostler.cli.reload import Reloading
from hostler.cli.run_control import RunControl
from hostler.cli.run_options import ControlOptions
from hostler.control.location import control_folder


async def test_a_run_that_has_ended_does_not_listen_any_more(
    directories: Directories, monkeypatch: pytest.MonkeyPatch
) -> None:
    with short_folder() as folder:
        monkeypatch.setenv("XDG_RUNTIME_DIR", str(folder))
        async with Supervisor([], directories=directories) as supervisor:
            view = View()
            control = RunControl(
                ControlOptions(Path("x.toml"), lambda *_: pytest.fail("nobody asks"), background=0),
                supervisor,
                Reloading(supervisor, lambda _: pytest.fail("nobody asks"), view),
                view,
                end=lambda force: None,
                is_ending=lambda: False,
            )
            opening = asyncio.create_task(control.open())
            await asyncio.sleep(0)  # it imports in a thread now
            await control.close()
            await opening
        assert not Path(control_folder(os.environ)).exists()  # noqa: ASYNC240
