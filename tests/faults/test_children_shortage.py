"""Too little memory, processes or descriptors: for the child, and for hostler while it starts one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import anyio
import psutil
import pytest
from hostler import (
    Directories,
    Exit,
    Exited,
    Launch,
    PluginSpec,
    ServerCrashed,
    ServerSpec,
    State,
    Supervisor,
    hookimpl,
)
from leaks import assert_no_leaks
from specs import QUICK, MakeSpec

PYTHON = (sys.executable, "-I", "-S", "-c")
PROGRAM = str(Path(__file__).parents[1] / "support" / "shortage_program.py")
MIB = 2**20
ONCE = replace(QUICK, max_restarts=0)
SOMEBODY = "54321"
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")


@pytest.fixture(autouse=True)
def no_trace_is_left(directories: Directories) -> Iterator[None]:
    with assert_no_leaks(directories):
        yield


@dataclass(eq=False)
class Limits:
    """Sets limits of the child, by their names in prlimit."""

    limits: dict[str, int] = field(default_factory=dict)

    @hookimpl
    async def pre_spawn(self, launch: Launch) -> None:
        launch.limits.update(self.limits)


async def end_of(spec: ServerSpec, directories: Directories) -> list[Exit]:
    """The ends of its runs until it is failed."""
    exits: list[Exit] = []
    async with Supervisor(spec, directories=directories) as supervisor:
        supervisor.listen(lambda event: exits.append(event.exit) if isinstance(event, Exited) else None)
        with anyio.fail_after(30):
            await supervisor["fake"].until(lambda: supervisor["fake"].state is State.FAILED)
        assert isinstance(supervisor["fake"].error, ServerCrashed)
    return exits


def worker(make_spec: MakeSpec, *command: str, **fields: Any) -> ServerSpec:
    given = {"port": None, "plugins": (), "restart": ONCE} | fields
    return make_spec(command=command, **given)


# -- the child's own --------------------------------------------------------------------------

EATS = "import time; time.sleep(0.1); food = bytearray(int(1e9)); food[::4096] = b'x' * len(food[::4096])"


async def test_a_child_without_memory_dies_and_its_last_words_tell_why(
    make_spec: MakeSpec, directories: Directories
) -> None:
    limits = PluginSpec("limits", instance=Limits({"as": 200 * MIB}))
    (end,) = await end_of(worker(make_spec, *PYTHON, EATS, plugins=(limits,)), directories)
    assert (end.code, end.killed) == (1, False)
    assert "MemoryError" in end.stderr
    assert "MemoryError" in str(end.error)


@pytest.fixture
def small_group(tmp_path: Path) -> Iterator[Path]:
    """A control group with 30 MB of memory, where the system lets us make one."""
    unified, memory = Path("/sys/fs/cgroup"), Path("/sys/fs/cgroup/memory")
    controllers = unified / "cgroup.controllers"
    is_second = controllers.exists() and "memory" in controllers.read_text().split()
    root, limit = (unified, "memory.max") if is_second else (memory, "memory.limit_in_bytes")
    if not os.access(root / "cgroup.procs", os.W_OK):
        pytest.skip("there is no control group for memory to write to")

    group = root / f"hostler-{os.getpid()}-{tmp_path.name}"
    group.mkdir()

    try:
        (group / limit).write_text(str(30 * MIB))
        yield group
    finally:
        group.rmdir()


async def test_a_child_that_the_kernel_kills_for_memory_is_told_as_killed_and_not_by_us(
    make_spec: MakeSpec, directories: Directories, small_group: Path
) -> None:
    joins = f"open({str(small_group / 'cgroup.procs')!r}, 'w').write('0')\n"
    (end,) = await end_of(worker(make_spec, *PYTHON, joins + EATS), directories)
    assert (end.signal, end.killed) == (9, False)
    assert "killed by SIGKILL" in str(end.error)


@needs_root
async def test_a_child_that_may_not_fork_is_told_and_tried_again(
    make_spec: MakeSpec, directories: Directories
) -> None:
    limits = PluginSpec("limits", instance=Limits({"nproc": 1}))
    spec = worker(
        make_spec,
        "sh",
        "-c",
        "sleep 300 & wait",
        plugins=(limits,),
        user=SOMEBODY,
        cwd=Path("/"),
        restart=replace(QUICK, max_restarts=2),
    )
    ends = await end_of(spec, directories)
    assert len(ends) == 3
    assert all(end.code and "fork" in end.stderr for end in ends)


# -- hostler's own ----------------------------------------------------------------------------


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder that another user can reach."""
    with TemporaryDirectory(dir="/tmp") as name:
        yield Path(name)


def run_short(what: str, when: str, folder: Path) -> list[dict[str, Any]]:
    """What the program told, when it has ended well."""
    argv = [sys.executable, PROGRAM, what, when, str(folder)]

    if what == "processes":  # who may read what root may, and is counted like everybody
        caps = [
            "--inh-caps=-all,+dac_override,+dac_read_search",
            "--ambient-caps=+dac_override,+dac_read_search",
        ]
        argv = ["setpriv", f"--reuid={SOMEBODY}", f"--regid={SOMEBODY}", "--clear-groups", *caps, *argv]
        os.chown(folder, int(SOMEBODY), int(SOMEBODY))

    done = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    told = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    assert not psutil.Process().children(recursive=True)
    assert told[-1] == {"event": "left", "descriptors": told[-1]["descriptors"]}
    assert told[-1]["descriptors"] <= 0
    assert ("well" in done.stdout.split()) is (when != "ever")
    return told


SHORT = [
    pytest.param("processes", "ulimit -u", marks=needs_root),
    pytest.param("descriptors", "ulimit -n"),
]


@pytest.mark.parametrize(("what", "advice"), SHORT)
@pytest.mark.parametrize("when", ["before", "running"])
def test_hostler_without_processes_or_descriptors_says_so_and_goes_on_when_there_are_some_again(
    what: str, advice: str, when: str, folder: Path
) -> None:
    told = run_short(what, when, folder)
    crashes = [event["error"] or "" for event in told if event.get("state") == "crashed"]
    assert sum(advice in error for error in crashes) >= 2, crashes
    assert [event["state"] for event in told if event["event"] == "state"][-3:] == [
        "running",
        "stopping",
        "stopped",
    ]


@pytest.mark.parametrize(("what", "advice"), SHORT)
def test_hostler_that_stays_short_gives_up_in_order(what: str, advice: str, folder: Path) -> None:
    told = run_short(what, "ever", folder)
    states = [event for event in told if event["event"] == "state"]
    assert states[-1]["state"] == "failed"
    assert advice in states[-1]["error"]
