"""What `hostler run` tells systemd by itself."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from hostler_process import Configure, Start
from service_manager import Manager, fill

ENDS = """\
[servers.bad]
command = ["/nowhere"]
port = false
restart = { policy = "never", start_retries = 0 }
"""
STAYS = """\
[servers.good]
command = ["sleep", "1000"]
port = false
"""


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[Manager]:
    manager = Manager(tmp_path / "notify")
    yield manager
    manager.close()


@pytest.fixture
def notified(environ: dict[str, str], tmp_path: Path) -> dict[str, str]:
    return environ | {"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "100000"}


def test_a_server_that_was_given_up_does_not_hold_up_the_others(
    start: Start, configure: Configure, manager: Manager, notified: dict[str, str]
) -> None:
    """systemd would kill them all after TimeoutStartSec."""
    configure(text=ENDS + STAYS)
    hostler = start("run", env=notified)
    manager.hear("READY=1")
    hostler.send(signal.SIGTERM)
    hostler.end()


def test_where_nothing_runs_it_is_not_ready(
    start: Start, configure: Configure, manager: Manager, notified: dict[str, str]
) -> None:
    configure(text=ENDS)
    assert start("run", env=notified).end() == 1
    heard = manager.heard()
    assert "STATUS=0 of 1 ready; bad: failed" in heard
    assert "READY=1" not in heard


def test_a_manager_that_reads_late_hears_that_it_is_ready(
    start: Start, configure: Configure, manager: Manager, notified: dict[str, str]
) -> None:
    configure(text=STAYS)
    fill(notified["NOTIFY_SOCKET"])
    hostler = start("run", env=notified | {"WATCHDOG_USEC": "0"})
    hostler.wait_for("started")
    hostler.send(signal.SIGHUP)
    hostler.wait_for("reload: nothing has changed")  # behind the first try
    manager.hear("READY=1")
    hostler.send(signal.SIGTERM)
    hostler.end()


def test_a_manager_that_is_gone_disturbs_nobody(
    start: Start, configure: Configure, environ: dict[str, str], tmp_path: Path
) -> None:
    configure(text=STAYS)
    hostler = start("run", env=environ | {"NOTIFY_SOCKET": "@nobody", "WATCHDOG_USEC": "1000"})
    hostler.wait_for("started")
    hostler.send(signal.SIGTERM)
    assert (hostler.end(), hostler.stderr) == (0, [])
