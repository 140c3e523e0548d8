"""A server whose processes hostler may not signal, as they run as another user."""

from __future__ import annotations

import os
import signal

import psutil
import pytest
from hostler_process import Configure, Hostler, Start

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="changes the user")
WITHOUT_KILL = ("setpriv", "--bounding-set=-kill", "--inh-caps=-kill", "--ambient-caps=-all")
AS_ANOTHER = """
[servers.web]
command = {}
cwd = "/"
port = false
force_kill_timeout = "1s"
"""


def stop_what_may_not_be_signalled(hostler: Hostler) -> list[str]:
    """Have it stop, and end its server for it when it has said why it cannot; all that it has said."""
    pid = int(hostler.wait_for("web server started").partition("(pid ")[2].partition(",")[0])
    hostler.send(signal.SIGTERM)

    try:
        hostler.wait_for(f"hostler may not signal processes of another user (2002): pid {pid}")
        assert psutil.pid_exists(pid)
        hostler.end()
    finally:
        psutil.Process(pid).kill()

    return [*hostler.stdout, *hostler.stderr]


def test_it_is_told_at_once_and_nothing_is_said_of_a_dead_disk(configure: Configure, start: Start) -> None:
    configure(text=AS_ANOTHER.format("['sleep', '60']") + "user = '2002'\ngroup = '2002'\n")
    said = stop_what_may_not_be_signalled(start("run", before=WITHOUT_KILL))

    first = next(number for number, line in enumerate(said) if "may not signal" in line)
    assert "waiting for it to exit" in said[first]
    assert "Shutting down web server..." in said[first - 1]
    assert not any("SIGKILL" in line or "disk" in line for line in said)
