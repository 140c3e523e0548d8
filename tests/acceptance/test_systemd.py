"""hostler as a service: systemd hears when it is ready, how it is, and that it lives."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from cli_project import NOTHING, Project
from service_manager import Manager

MILLISECONDS = 1000


ROOT = Path(__file__).parents[2]


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="needs systemd-analyze")
@pytest.mark.parametrize(
    ("unit", "scope"), [("hostler.service", "--system"), ("user/hostler.service", "--user")]
)
def test_systemd_finds_nothing_wrong_in_a_unit(unit: str, scope: str, tmp_path: Path) -> None:
    """It exits with 0 for a key that it does not know, but says so."""
    done = subprocess.run(
        ["systemd-analyze", "verify", scope, str(ROOT / "configs" / "systemd" / unit)],
        capture_output=True,
        env=os.environ | {"XDG_RUNTIME_DIR": str(tmp_path)},
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, b"")


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[Manager]:
    manager = Manager(tmp_path / "notify")
    yield manager
    manager.close()


@pytest.mark.requirement("R42")
def test_systemd_hears_when_all_is_ready_and_that_hostler_lives(
    world: Project, manager: Manager, tmp_path: Path
) -> None:
    first = world.fake_table(plugins={"regex-port": {}})
    last = world.fake_table(plugins={"regex-port": {}, "systemd": {}}, needs=["first"])
    file = world.configure(first=first, last=last)
    environ = {"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": str(100 * MILLISECONDS)}
    hostler = world.hostler("run", file, "--json", **environ)

    ready = manager.hear("READY=1")
    hostler.event(event="state", server="first", state="running")
    told = hostler.event(event="state", server="last", state="running")
    assert f"STATUS=last: running at {told['url']} (pid {told['pid']})" in ready
    assert "NOTIFY_SOCKET" not in psutil.Process(told["pid"]).environ()

    for _ in range(3):
        manager.hear("WATCHDOG=1")

    hostler.signal(signal.SIGTERM)
    manager.hear("STATUS=last: stopping")
    manager.hear("WATCHDOG_USEC=0")
    assert hostler.end() == 0
    assert world.what_is_left() == NOTHING


@pytest.mark.requirement("R42")
def test_systemd_hears_of_all_servers_without_a_plugin(
    world: Project, manager: Manager, tmp_path: Path
) -> None:
    """As the unit that `hostler service print` makes runs it."""
    db = world.fake_table(plugins={"regex-port": {}})
    web = world.fake_table(plugins={"regex-port": {}}, needs=["db"])
    file = world.configure(db=db, web=web)
    environ = {"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": str(100 * MILLISECONDS)}
    hostler = world.hostler("run", file, "--json", **environ)

    assert "READY=1" not in manager.hear("STATUS=1 of 2 ready; web: ")
    assert manager.hear("READY=1") == ["STATUS=2 of 2 ready", "READY=1"]
    told = hostler.event(event="state", server="web", state="running")
    assert "NOTIFY_SOCKET" not in psutil.Process(told["pid"]).environ()
    for _ in range(3):
        manager.hear("WATCHDOG=1")

    hostler.signal(signal.SIGTERM)
    manager.hear("STOPPING=1")
    assert hostler.end() == 0
    # It is ready once, and ends once.
    assert not {"READY=1", "STOPPING=1"} & set(manager.heard())
    assert world.what_is_left() == NOTHING
