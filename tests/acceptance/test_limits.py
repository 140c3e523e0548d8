"""What a server may use, set in TOML: seen on real processes, enforced by the kernel or by polling."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import control_groups
import pytest
from children import lives
from cli_project import Project, eventually
from hostler.process.spawn.cgroups import pids_in

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="what is looked at is Linux's")


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
