"""Control groups for real: joined without a gap, nothing escapes, and they are removed."""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import anyio
import control_groups
import pytest
from hostler.process.spawn import cgroups
from hostler.process.spawn.cgroups import join, kill_group, pids_in, remove_group
from hostler.process.tree.members import find_tree
from hostler.process.tree.process_table import MARKER
from hostler.process.tree.terminate import kill_leftovers, kill_tree_now, stop_tree


@pytest.fixture
def group() -> Iterator[Path]:
    yield from control_groups.new_group()


async def test_a_child_begins_in_its_group_with_its_own_environment_and_nothing_else(
    start: Callable[..., Any], group: Path
) -> None:
    child = start("/usr/bin/env", cgroup=group, env={"GIVEN": "1"})
    assert {line.partition("=")[0] for line in (await child.text()).splitlines()} == {"GIVEN", MARKER}
    child = start("/bin/cat", "/proc/self/cgroup", cgroup=group)
    assert f"0::/{group.name}" in (await child.text()).splitlines()


@pytest.mark.parametrize("shell", ["dash", "bash"])
def test_what_a_shell_adds_to_the_environment_does_not_come_through(
    shell: str, group: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = shutil.which(shell)
    if found is None:
        pytest.skip(f"{shell} is not installed")
    monkeypatch.setattr(cgroups, "_SHELL", found)
    argv = [*join(group, {"GIVEN"}), "/usr/bin/env"]
    done = subprocess.run(argv, env={"GIVEN": "1"}, capture_output=True, text=True, check=True)
    assert done.stdout == "GIVEN=1\n"


def test_a_group_that_cannot_be_entered_runs_nothing(tmp_path: Path) -> None:
    argv = [*join(tmp_path / "nowhere", {}), "/usr/bin/touch", str(tmp_path / "ran")]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert "nowhere/cgroup.procs" in done.stderr
    assert not (tmp_path / "ran").exists()


async def test_what_forked_twice_and_cleared_its_environment_is_found_by_the_group_and_stopped(
    start: Callable[..., Any], group: Path, gone: Callable[[int], bool]
) -> None:
    child = start("sh", "-c", control_groups.ESCAPES, cgroup=group)
    escaped = int(await child.line())
    assert escaped in {member.pid for member in find_tree(child.process)}
    assert await stop_tree(child.process, grace=5) == ()
    assert gone(escaped)
    assert pids_in(group) == []


async def test_the_same_without_a_loop(
    start: Callable[..., Any], group: Path, gone: Callable[[int], bool]
) -> None:
    child = start("sh", "-c", control_groups.ESCAPES, cgroup=group)
    escaped = int(await child.line())
    assert kill_tree_now(child.process) == ()
    assert gone(escaped)


async def test_a_leftover_group_is_emptied_without_any_mark_or_pid(
    start: Callable[..., Any], group: Path, gone: Callable[[int], bool]
) -> None:
    child = start("sh", "-c", control_groups.ESCAPES, cgroup=group)
    escaped = int(await child.line())
    assert escaped in kill_leftovers("another-run", None, 0, group)
    assert gone(escaped)
    assert gone(child.pid)


RUNS_AWAY = """
import os, signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print(1, flush=True)

if os.fork():
    time.sleep(300)

until = time.monotonic() + 15  # one process at a time, and an end: this is no fork bomb

while time.monotonic() < until:
    if os.fork():
        os._exit(0)

    os.setsid()
    time.sleep(0.001)
"""


async def test_who_runs_away_from_one_process_to_the_next_is_caught(
    start: Callable[..., Any], group: Path
) -> None:
    child = start(sys.executable, "-I", "-S", "-c", RUNS_AWAY, cgroup=group)
    await child.line()
    with anyio.fail_after(10):
        assert await stop_tree(child.process, grace=0.2) == ()
    assert pids_in(group) == []


def test_groups_inside_a_group_are_part_of_it(group: Path) -> None:
    inner = group / "inner"
    inner.mkdir()
    sleeper = subprocess.Popen([*join(inner, {}), "/bin/sleep", "300"])
    try:
        wait_for(lambda: pids_in(group) == [sleeper.pid])
        kill_group(group)
        assert sleeper.wait(10) == -9
        remove_group(group)
        assert not group.exists()
    finally:
        sleeper.kill()
        sleeper.wait()


def test_a_group_with_somebody_in_it_is_not_removed(group: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cgroups, "_REMOVE_WITHIN", 0.05)
    sleeper = subprocess.Popen([*join(group, {}), "/bin/sleep", "300"])
    try:
        wait_for(lambda: pids_in(group) == [sleeper.pid])
        with pytest.raises(OSError, match="busy"):
            remove_group(group)
    finally:
        sleeper.kill()
        sleeper.wait()


def test_who_is_in_the_group_does_not_kill_itself(group: Path) -> None:
    program = "import sys\nfrom pathlib import Path\nfrom hostler.process.spawn.cgroups import kill_group\n"
    program += "kill_group(Path(sys.argv[1]))\nprint('alive')\n"
    argv = [*join(group, {}), sys.executable, "-c", program, str(group)]
    assert subprocess.run(argv, capture_output=True, text=True, check=False).stdout == "alive\n"


def test_what_is_no_group_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    kill_group(tmp_path)
    kill_group(None)
    remove_group(tmp_path)
    remove_group(tmp_path / "nowhere")
    assert pids_in(tmp_path) == pids_in(None) == []
    assert sorted(tmp_path.iterdir()) == [tmp_path / "file"]


def wait_for(condition: Callable[[], bool]) -> None:
    until = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.01)
