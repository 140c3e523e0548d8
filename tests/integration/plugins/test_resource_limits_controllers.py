"""The controllers of control groups, and what the kernel enforces with them."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import anyio
import control_groups
import pytest
from hostler import (
    Directories,
    ServerSpec,
    State,
    Supervisor,
)
from hostler.process.spawn.cgroups import pids_in
from hostler_plugins.resource_limits.cgroup import enable, make_group
from limited_servers import a_server, inside, parent, read

__all__ = ["parent"]
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="control groups are Linux's")


def groups_in(parent: Path) -> list[Path]:
    """The groups of runs."""
    return [path for path in parent.iterdir() if path.is_dir() and path.name.startswith("hostler-")]


# -- controllers -----------------------------------------------------------------------------------


def controller_of(root: Path) -> str:
    """One that no group may hand on while a process is in it."""
    free = read(root / "cgroup.controllers").split()
    found = [name for name in ("memory", "hugetlb", "io") if name in free]
    return found[0] if found else pytest.skip("no controller is left for groups of version 2 on this machine")


def handed_on(parent: Path) -> str:
    """Hand a controller on from the root, to get one at all."""
    root = parent.parent
    name = controller_of(root)
    if name not in read(root / "cgroup.subtree_control").split():
        (root / "cgroup.subtree_control").write_text(f"+{name}")
    return name


@pytest.fixture
def controller(parent: Path) -> Iterator[str]:
    before = read(parent.parent / "cgroup.subtree_control").split()
    name = handed_on(parent)
    yield name
    control_groups.end(parent)
    if name not in before:
        (parent.parent / "cgroup.subtree_control").write_text(f"-{name}")
    parent.mkdir()


def test_a_controller_is_handed_on_to_the_groups_below(parent: Path, controller: str) -> None:
    enable(parent, frozenset({controller, "none-such"}))
    assert read(parent / "cgroup.subtree_control").split() == [controller]
    group = make_group(str(parent), "web")
    assert group is not None
    name = max(path.name for path in group.path.glob(f"{controller}.*max"))
    assert group.set(name, "0")
    assert read(group.path / name).split()[-1].endswith("0")
    assert not group.set("none-such.max", "1")
    enable(parent, frozenset({controller}))


def test_who_is_in_the_group_goes_to_a_leaf_so_that_controllers_can_be_handed_on(
    parent: Path, controller: str
) -> None:
    with inside(parent):
        enable(parent, frozenset({controller}))
        assert read(parent / "cgroup.subtree_control").split() == [controller]
        assert str(os.getpid()) in read(parent / "hostler" / "cgroup.procs").split()


async def test_a_group_that_strangers_are_in_hands_nothing_on_and_nobody_is_moved(
    parent: Path, controller: str
) -> None:
    async with await anyio.open_process(["/bin/sleep", "300"]) as stranger:
        (parent / "cgroup.procs").write_text(str(stranger.pid))
        enable(parent, frozenset({controller}))
        assert read(parent / "cgroup.subtree_control").split() == []
        assert pids_in(parent) == [stranger.pid]
        stranger.kill()


# -- what the kernel keeps -------------------------------------------------------------------------


GROWS = """
import os, time
print("up", flush=True)
if os.fork(): time.sleep(300)
held = []
while len(held) < 400:
    held.append(b"x" * 2**20)
    time.sleep(0.002)
"""

FORKS = """
import os, time
children = 0
try:
    while children < 40:
        if not os.fork(): time.sleep(300)
        children += 1
except OSError as error: print("refused", error.strerror, flush=True)
time.sleep(300)
"""

BURNS = """
import time
began, used = time.monotonic(), time.process_time()
while time.monotonic() - began < 2: pass
print(round((time.process_time() - used) / 2, 2), flush=True)
time.sleep(300)
"""


@pytest.fixture
def all_controllers(parent: Path) -> Iterator[Path]:
    """A group with memory, pids and cpu: where version 1 has them, these tests cannot be run."""
    root = parent.parent
    if not {"memory", "pids", "cpu"} <= set(read(root / "cgroup.controllers").split()):
        pytest.skip("groups of version 2 have no memory, pids and cpu on this machine")
    (root / "cgroup.subtree_control").write_text("+memory +pids +cpu")
    yield parent
    control_groups.end(parent)
    parent.mkdir()


def a_program(parent: Path, program: str, **options: object) -> ServerSpec:
    return a_server(parent, sys.executable, "-I", "-S", "-c", program, **options)


async def test_the_kernel_ends_all_of_a_server_that_needs_too_much_memory_and_is_named(
    all_controllers: Path, directories: Directories
) -> None:
    spec = a_program(all_controllers, GROWS, memory_hard="80 MiB", interval="300ms")
    async with Supervisor(spec, directories=directories) as supervisor:
        server = supervisor["grouped"]
        with anyio.fail_after(60):
            while server.state is not State.FAILED:  # noqa: ASYNC110
                await anyio.sleep(0.02)
        assert server.error is not None
        assert re.search(r"the kernel ended it: .* \(80 MiB\); .* largest was .* MiB\)", server.error.message)
        assert server.crashes[-1].signal == 9
        assert server.members() == []


async def test_the_kernel_refuses_to_start_too_many_tasks(
    all_controllers: Path, directories: Directories
) -> None:
    async with Supervisor(a_program(all_controllers, FORKS, tasks=20), directories=directories) as supervisor:
        with anyio.fail_after(30):
            line = await anext(supervisor["grouped"].lines())
        assert line.text.startswith("refused")
        assert len(supervisor["grouped"].members()) == 20
        assert supervisor["grouped"].state is State.RUNNING


async def test_the_kernel_shares_out_processors(all_controllers: Path, directories: Directories) -> None:
    async with Supervisor(
        a_program(all_controllers, BURNS, cpus=0.25), directories=directories
    ) as supervisor:
        with anyio.fail_after(30):
            line = await anext(supervisor["grouped"].lines())
        assert float(line.text) < 0.4


async def test_all_limits_are_written_below_a_group_that_was_handed_over(
    all_controllers: Path, directories: Directories
) -> None:
    os.setxattr(all_controllers, "user.delegate", b"1")
    limits = {"memory_hard": "64 MiB", "memory_throttle": "48 MiB", "tasks": 9, "cpus": 1.5}

    with inside(all_controllers):
        async with Supervisor(
            a_server("auto", "/bin/sleep", "300", **limits), directories=directories
        ) as supervisor:
            await supervisor["grouped"].wait_ready(20)
            (own,) = groups_in(all_controllers)
            names = ("memory.max", "memory.high", "memory.oom.group", "pids.max", "cpu.max")
            assert [read(own / name).strip() for name in names] == [
                str(64 << 20),
                str(48 << 20),
                "1",
                "9",
                "150000 100000",
            ]
