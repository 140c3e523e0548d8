"""file-ready: a file that is written means ready, and one that was there before does not."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import anyio
import pytest
from hostler import (
    Directories,
    EnvironmentSetupFailed,
    Event,
    HealthReported,
    PluginSpec,
    RestartMode,
    RestartPolicy,
    ServerSpec,
    StartupTimeout,
    State,
    Supervisor,
)
from specs import QUICK

NEVER = RestartPolicy(policy=RestartMode.NEVER, start_retries=0)


def worker(cwd: Path, script: str, path: str = "ready", options: Any = None, **fields: Any) -> ServerSpec:
    plugin = PluginSpec("file-ready", {"path": path} | (options or {}))
    given: dict[str, Any] = {"restart": NEVER, "cwd": cwd} | fields
    return ServerSpec(name="worker", command=("/bin/sh", "-c", script), port=None, plugins=(plugin,), **given)


async def test_a_worker_is_ready_with_its_file(directories: Directories, tmp_path: Path) -> None:
    events: list[Event] = []
    spec = worker(tmp_path, "sleep 0.3; touch ready; exec sleep 60")
    async with Supervisor(spec, directories=directories) as supervisor:
        supervisor.listen(events.append)
        began = time.monotonic()
        await supervisor["worker"].wait_ready(10)
        assert 0.3 <= time.monotonic() - began < 5

    said = [(event.healthy, event.reason) for event in events if isinstance(event, HealthReported)]
    assert said == [(False, f"{tmp_path}/ready has not been written yet"), (True, "")]


@pytest.mark.parametrize("touch", ["touch ready", "echo > new; mv new ready", "rm ready; touch ready"])
async def test_a_file_from_before_counts_when_it_is_written_anew(
    directories: Directories, tmp_path: Path, touch: str
) -> None:
    (tmp_path / "ready").touch()
    spec = worker(tmp_path, f"sleep 0.3; {touch}; exec sleep 60")
    async with Supervisor(spec, directories=directories) as supervisor:
        began = time.monotonic()
        await supervisor["worker"].wait_ready(10)
        assert time.monotonic() - began >= 0.3


async def test_a_file_from_before_is_no_sign(directories: Directories, tmp_path: Path) -> None:
    (tmp_path / "ready").touch()
    async with Supervisor(
        worker(tmp_path, "exec sleep 60", startup_timeout=0.5), directories=directories
    ) as supervisor:
        with pytest.raises(StartupTimeout, match="file-ready: .*/ready has not been written yet"):
            await supervisor["worker"].wait_ready(10)
    assert (tmp_path / "ready").exists()


async def test_a_stale_file_is_removed_on_request(directories: Directories, tmp_path: Path) -> None:
    (tmp_path / "ready").touch()
    script = "test -e ready && exit 3; touch ready; exec sleep 60"  # as programs do that find a pid file
    async with Supervisor(
        worker(tmp_path, script, options={"remove_stale": True}), directories=directories
    ) as supervisor:
        await supervisor["worker"].wait_ready(10)


async def test_a_link_is_removed_and_not_what_it_points_to(directories: Directories, tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.write_text("mine")
    (tmp_path / "ready").symlink_to(precious)

    async with Supervisor(
        worker(tmp_path, "touch ready; exec sleep 60", options={"remove_stale": True}),
        directories=directories,
    ) as supervisor:
        await supervisor["worker"].wait_ready(10)

    assert precious.read_text() == "mine"
    assert not (tmp_path / "ready").is_symlink()


async def test_a_folder_is_not_removed(directories: Directories, tmp_path: Path) -> None:
    (tmp_path / "ready").mkdir()
    async with Supervisor(
        worker(tmp_path, "exec sleep 60", options={"remove_stale": True}), directories=directories
    ) as supervisor:
        with pytest.raises(
            EnvironmentSetupFailed, match="file-ready cannot look for .*/ready: Is a directory"
        ):
            await supervisor["worker"].wait_ready(10)


async def test_the_path_may_be_absolute_lead_through_folders_to_come_and_hold_the_name(
    directories: Directories, tmp_path: Path
) -> None:
    script = f"mkdir -p {tmp_path}/run; touch {tmp_path}/run/worker.pid; exec sleep 60"
    spec = worker(Path("/"), script, path=f"{tmp_path}/run/${{server.name}}.pid")
    async with Supervisor(spec, directories=directories) as supervisor:
        await supervisor["worker"].wait_ready(10)


async def test_a_file_where_a_folder_should_be_is_not_there(directories: Directories, tmp_path: Path) -> None:
    (tmp_path / "run").touch()
    script = "rm run; mkdir run; touch run/ready; exec sleep 60"
    async with Supervisor(worker(tmp_path, script, "run/ready"), directories=directories) as supervisor:
        await supervisor["worker"].wait_ready(10)


async def test_a_path_that_cannot_be_looked_up_for_now_is_not_there(
    directories: Directories, tmp_path: Path
) -> None:
    script = "ln -s ready ready; sleep 0.3; rm ready; touch ready; exec sleep 60"
    async with Supervisor(worker(tmp_path, script), directories=directories) as supervisor:
        began = time.monotonic()
        await supervisor["worker"].wait_ready(10)
        assert time.monotonic() - began >= 0.3


async def test_a_watched_file_that_goes_is_a_crash_after_so_many_looks(
    directories: Directories, tmp_path: Path
) -> None:
    options = {"watch": True, "interval": "50ms", "failures": 2}
    spec = worker(tmp_path, "touch ready; exec sleep 60", options=options, restart=QUICK)
    async with Supervisor(spec, directories=directories) as supervisor:
        server = supervisor["worker"]
        await server.wait_ready(10)
        (tmp_path / "ready").unlink()
        with anyio.fail_after(10):
            await server.until(lambda: bool(server.crashes))
        await server.wait_ready(10)

    assert server.crashes[0].reason.endswith(f"file-ready: {tmp_path}/ready is gone (2 times in a row)")


async def test_without_watch_nobody_looks_again(directories: Directories, tmp_path: Path) -> None:
    spec = worker(tmp_path, "touch ready; exec sleep 60", options={"interval": "10ms", "failures": 1})
    async with Supervisor(spec, directories=directories) as supervisor:
        server = supervisor["worker"]
        await server.wait_ready(10)
        (tmp_path / "ready").unlink()
        await anyio.sleep(0.3)  # thirty looks, if anybody did
        assert server.state is State.RUNNING
        assert server.health == "healthy"
