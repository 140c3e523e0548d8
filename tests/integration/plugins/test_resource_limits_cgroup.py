"""resource-limits with control groups (version 2) that are real, as far as the machine has them."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import anyio
import psutil
import pytest
from children import lives
from hostler import (
    Action,
    Directories,
    EnvironmentSetupFailed,
    Exit,
    ExitCause,
    Launch,
    PluginSpec,
    ServerCrashed,
    ServerSpec,
    State,
    Supervisor,
    Unhealthy,
)
from hostler.plugins.options import build
from hostler.process.spawn.cgroups import pids_in
from hostler.testing import FakeServerContext
from hostler_plugins.resource_limits.cgroup import Group, find_parent, make_group, own_group
from launches import a_launch
from limited_servers import a_server, inside, parent

__all__ = ["parent"]
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="control groups are Linux's")


async def escaped(supervisor: Supervisor) -> int:
    lines = supervisor["grouped"].lines()
    with anyio.fail_after(20):
        return int((await anext(lines)).text)


async def test_a_server_has_a_group_of_its_own_that_nothing_leaves_and_that_goes_with_it(
    parent: Path, directories: Directories
) -> None:
    async with Supervisor(a_server(parent), directories=directories) as supervisor:
        pid = await escaped(supervisor)
        (own,) = groups_in(parent)
        assert own.name.startswith("hostler-grouped-")
        assert {pid, supervisor["grouped"].pid} <= set(pids_in(own))
        assert pid in supervisor["grouped"].members()
        await supervisor["grouped"].restart()
        again = await escaped(supervisor)
        assert [group for group in groups_in(parent) if group != own]
        assert not own.exists()
        assert not lives(pid)

    assert groups_in(parent) == []
    assert not lives(again)


def groups_in(parent: Path) -> list[Path]:
    """The groups of runs."""
    return [path for path in parent.iterdir() if path.is_dir() and path.name.startswith("hostler-")]


async def test_without_a_group_the_same_process_escapes(directories: Directories) -> None:
    """The documented limit: it would be no proof if it did not."""
    async with Supervisor(a_server("off"), directories=directories) as supervisor:
        pid = await escaped(supervisor)
    assert lives(pid)
    psutil.Process(pid).kill()


async def test_processor_time_is_told_by_the_group_though_nobody_waited_for_those_who_used_it(
    parent: Path, directories: Directories
) -> None:
    # Each child burns 30 ms and is reaped by nobody's wait: SIGCHLD is ignored.
    burns = "import os,signal,time\nsignal.signal(signal.SIGCHLD, signal.SIG_IGN)\nfor _ in range(40):\n"
    burns += " if os.fork()==0:\n  while time.process_time() < .03: pass\n  os._exit(0)\n time.sleep(.05)\n"
    spec = a_server(
        parent, sys.executable, "-I", "-S", "-c", burns + "time.sleep(300)", cpu_time="400ms", interval="1s"
    )
    async with Supervisor(spec, directories=directories) as supervisor:
        server = supervisor["grouped"]
        with anyio.fail_after(20):
            while server.state is not State.FAILED:  # noqa: ASYNC110
                await anyio.sleep(0.01)
        assert server.error is not None
        assert "of processor time, more than cpu_time = 0.4 s" in server.error.message


async def test_a_group_is_removed_too_when_the_start_fails(parent: Path, directories: Directories) -> None:
    async with Supervisor(a_server(parent, "/no/such/program"), directories=directories) as supervisor:
        with pytest.raises(Exception, match="/no/such/program"):
            await supervisor["grouped"].wait_ready(20)
        assert groups_in(parent) == []


# -- which group was handed to us ------------------------------------------------------------------


def test_a_group_that_systemd_handed_over_is_found_where_we_are_and_right_above(parent: Path) -> None:
    leaf = parent / "main"
    leaf.mkdir()
    with inside(leaf):
        assert find_parent("auto") is None, "nobody has handed it over"
        os.setxattr(parent, "user.delegate", b"1")
        assert find_parent("auto") == parent
        os.setxattr(leaf, "user.delegate", b"1")
        assert find_parent("auto") == leaf


async def test_the_group_that_was_handed_over_is_used_by_itself(
    parent: Path, directories: Directories
) -> None:
    os.setxattr(parent, "user.delegate", b"1")
    with inside(parent):
        async with Supervisor(a_server("auto"), directories=directories) as supervisor:
            pid = await escaped(supervisor)
            (own,) = groups_in(parent)
            assert pid in pids_in(own)
        assert groups_in(parent) == []


def test_a_group_that_may_not_be_written_is_not_used(parent: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("needs another user")

    os.setxattr(parent, "user.delegate", b"1")

    with inside(parent):
        os.seteuid(65534)
        try:
            assert find_parent("auto") is None
            with pytest.raises(EnvironmentSetupFailed, match="may not be written by this user"):
                find_parent(str(parent))
        finally:
            os.seteuid(0)


def test_where_no_more_groups_can_be_made_the_server_runs_without_unless_one_was_named(parent: Path) -> None:
    (parent / "cgroup.max.descendants").write_text("0")
    os.setxattr(parent, "user.delegate", b"1")
    with inside(parent):
        assert make_group("auto", "web") is None
        with pytest.raises(EnvironmentSetupFailed, match="cannot be used: Resource temporarily unavailable"):
            make_group(str(parent), "web")


async def test_a_group_that_is_none_is_told_before_anything_is_started(
    tmp_path: Path, directories: Directories
) -> None:
    async with Supervisor(a_server(tmp_path), directories=directories) as supervisor:
        with pytest.raises(EnvironmentSetupFailed, match="no control group") as caught:
            await supervisor["grouped"].wait_ready(20)
    assert caught.value.permanent
    assert "Delegate=yes" in caught.value.context.hint


async def test_check_tells_what_cannot_be_kept(tmp_path: Path, launch: Launch) -> None:
    plugin: Any = build(PluginSpec("resource-limits", {"cpus": 1.5, "cgroup": "off"}))
    (text,) = plugin.check(ServerSpec(name="web"), launch)
    assert text.startswith("cpus: only a control group")
    fine: Any = build(PluginSpec("resource-limits", {"memory_hard": "1 GiB", "cgroup": "off"}))
    assert list(fine.check(ServerSpec(name="web"), launch)) == []


@pytest.fixture
def launch(tmp_path: Path) -> Launch:
    return a_launch(tmp_path)


@pytest.mark.parametrize(
    ("membership", "mounts", "found"),
    [
        (
            "0::/a.slice/b.service\n",
            "30 24 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw",
            "/sys/fs/cgroup/a.slice/b.service",
        ),
        (
            "4:memory:/x\n0::/\n",
            "31 1 0:2 / /sys/fs/cgroup/unified rw shared:9 - cgroup2 none rw",
            "/sys/fs/cgroup/unified",
        ),
        ("0::/box/in\n", "30 24 0:26 /box /sys/fs/cgroup rw - cgroup2 cgroup2 rw", "/sys/fs/cgroup/in"),
        ("0::/elsewhere\n", "30 24 0:26 /box /sys/fs/cgroup rw - cgroup2 cgroup2 rw", None),
        ("0::/a\n", "30 24 0:26 / /proc rw - proc proc rw", None),
        ("1:cpu:/a\n", "30 24 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw", None),
        ("", "", None),
    ],
)
def test_our_own_group_is_read_from_the_kernels_tables(
    membership: str, mounts: str, found: str | None
) -> None:
    assert own_group(membership, mounts) == (None if found is None else Path(found))


# -- the kernel's own kills ------------------------------------------------------------------------


async def killed_by_the_kernel(tmp_path: Path, events: str, exit_: Exit) -> Any:
    plugin: Any = build(PluginSpec("resource-limits", {"memory_hard": "64 MiB", "cgroup": "off"}))
    plugin._group = Group(tmp_path)
    (tmp_path / "memory.events").write_text(events)
    return await plugin.on_crash(exit_)


async def test_a_kill_by_the_kernel_is_named(tmp_path: Path) -> None:
    events = "low 0\nhigh 0\nmax 12\noom 1\noom_kill 3\noom_group_kill 1\n"
    advice = await killed_by_the_kernel(tmp_path, events, Exit(ExitCause.EXITED, 1, signal=9))
    assert advice.action is Action.BACK_OFF
    assert isinstance(advice.error, ServerCrashed)
    assert "the kernel ended it" in advice.error.message
    assert "memory_hard (64 MiB)" in advice.error.message


@pytest.mark.parametrize("events", ["oom_kill 0\n", "", "oom_kill\n"])
async def test_any_other_end_is_not_the_kernels(events: str, tmp_path: Path) -> None:
    assert await killed_by_the_kernel(tmp_path, events, Exit(ExitCause.EXITED, 1, signal=9)) is None


async def test_what_we_ended_ourselves_has_its_own_reason(tmp_path: Path) -> None:
    exit_ = Exit(ExitCause.UNHEALTHY, 1, signal=9, unhealthy=Unhealthy("too much"))
    assert await killed_by_the_kernel(tmp_path, "oom_kill 3\n", exit_) is None


async def test_without_a_group_nobody_knows_of_the_kernel() -> None:
    plugin: Any = build(PluginSpec("resource-limits", {"cgroup": "off"}))
    assert await plugin.on_crash(Exit(ExitCause.EXITED, 1, signal=9)) is None


def texts_in(folder: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in folder.iterdir()}


async def test_each_limit_goes_into_the_file_of_its_controller(tmp_path: Path, launch: Launch) -> None:
    """Controllers that this machine does not have are a folder with their files."""
    for name in ("memory.max", "memory.high", "memory.oom.group", "pids.max", "cpu.max"):
        (tmp_path / name).touch()

    options = {
        "memory_hard": "1 GiB",
        "memory_throttle": "512 MiB",
        "tasks": 99,
        "cpus": 1.5,
        "cgroup": "off",
    }
    plugin: Any = build(PluginSpec("resource-limits", options))
    plugin._enforce(FakeServerContext(), Group(tmp_path))
    assert texts_in(tmp_path) == {
        "memory.max": str(2**30),
        "memory.high": str(2**29),
        "memory.oom.group": "1",
        "pids.max": "99",
        "cpu.max": "150000 100000",
    }
