"""What a server may use, set in TOML: seen on real processes, enforced by the kernel or by polling."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import control_groups
import pytest
from children import lives
from cli_project import QUICK, Project, eventually
from hostler import Server, ServerCrashed, State
from hostler.process.spawn.cgroups import pids_in

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="what is looked at is Linux's")

TWO_THAT_GROW = """
import os, time
child = os.fork()
held = [] if child else [b"x" * 2**20 for _ in range(60)]
print("up", flush=True)
time.sleep(1 if child else 300)
held += [b"x" * 2**20 for _ in range(60)]
time.sleep(300)
"""
BURNS = "import os\nos.fork()\nwhile True: pass"
MULTIPLIES = "import os, time\nfor _ in range(5): os.fork() or time.sleep(300)\ntime.sleep(300)"
OPENS = "import os, time\nfiles = [os.dup(1) for _ in range(200)]\ntime.sleep(300)"


def limited(program: str, **options: object) -> dict[str, object]:
    """A worker that gives up after one restart."""
    return {
        "command": [sys.executable, "-I", "-S", "-c", program],
        "port": False,
        "restart": {**QUICK, "max_restarts": 1, "start_retries": 0},
        "plugins": {"resource-limits": {"interval": "50ms", **options}},
    }


async def until_given_up(server: Server) -> None:
    """Raises why."""
    while True:
        await server.wait_ready(20)
        await server.changed()


@pytest.mark.requirement("R41")
@pytest.mark.parametrize(
    ("program", "options", "reason"),
    [
        (TWO_THAT_GROW, {"memory_hard": "100 MiB"}, "of resident memory in 2 processes, most of it in"),
        (BURNS, {"cpu_time": "300ms"}, "of processor time, more than cpu_time = 0.3 s"),
        (MULTIPLIES, {"processes": 4}, "6 processes, more than processes = 4"),
        (MULTIPLIES, {"tasks": 4, "cgroup": "off"}, "6 processes and threads, more than tasks = 4"),
    ],
    ids=["memory", "cpu", "processes", "tasks"],
)
async def test_too_much_ends_the_whole_tree_with_its_reason_and_by_the_one_restart_law(
    program: str, options: dict[str, object], reason: str, world: Project
) -> None:
    async with world.supervisor(world.configure(worker=limited(program, **options))) as supervisor:
        server = supervisor["worker"]
        with pytest.raises(ServerCrashed, match=reason):
            await until_given_up(server)
        assert server.state is State.FAILED
        assert server.restarts == 1
        assert len(server.crashes) == 2
        assert world.processes() == {}


@pytest.mark.requirement("R41")
async def test_open_files_are_limited_by_the_kernel(world: Project) -> None:
    table = limited(OPENS, open_files=64)
    async with world.supervisor(world.configure(worker=table)) as supervisor:
        server = supervisor["worker"]
        with pytest.raises(ServerCrashed, match="Too many open files"):
            await until_given_up(server)


# -- control groups --------------------------------------------------------------------------------


@pytest.fixture
def group() -> Iterator[Path]:
    yield from control_groups.new_group()


def escaping(group: Path, **keys: object) -> dict[str, object]:
    """A worker whose grandchild clears its environment and leaves its session."""
    return {
        "command": ["/bin/sh", "-c", control_groups.ESCAPES],
        "port": False,
        "plugins": {"resource-limits": {"cgroup": str(group)}},
        **keys,
    }


def groups_in(group: Path) -> list[Path]:
    return [path for path in group.iterdir() if path.is_dir()]


@pytest.mark.requirement("R42")
def test_each_run_has_a_control_group_that_ends_with_it(world: Project, group: Path) -> None:
    hostler = world.hostler("run", world.configure(worker=escaping(group)), "--json")
    pid = hostler.event(event="state", state="running")["pid"]
    (own,) = groups_in(group)
    eventually(lambda: len(pids_in(own)) == 2)
    everybody = pids_in(own)
    assert pid in everybody
    assert hostler.stop(signal.SIGTERM) == 0
    assert not any(lives(one) for one in everybody)
    assert groups_in(group) == []


@pytest.mark.requirement("R42")
@pytest.mark.parametrize("guard", [True, False])
def test_what_a_killed_hostler_left_in_a_control_group_is_ended(
    guard: bool, world: Project, group: Path
) -> None:
    file = world.configure(worker=escaping(group, guard=guard))
    killed = world.hostler("run", file, "--json")
    pid = killed.event(event="state", state="running")["pid"]
    (own,) = groups_in(group)
    eventually(lambda: len(pids_in(own)) == 2)
    (escaped,) = set(pids_in(own)) - {pid}
    killed.stop(signal.SIGKILL)

    if guard:
        eventually(lambda: not lives(escaped))

    again = world.hostler("run", file, "--json")
    again.event(event="state", state="running")
    assert not lives(escaped)
    assert not own.exists()
    assert again.stop(signal.SIGTERM) == 0
    assert groups_in(group) == []
