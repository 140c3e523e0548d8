"""What `hostler ps` and `explain` know where no hostler runs."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import psutil
import pytest
from background_project import pid_of, servers, servers_pid, write
from cli_project import eventually
from hostler_process import Run, Start, server_table


def last(run: Run, *words: str) -> dict[str, dict[str, object]]:
    """The rows of `ps` without a hostler."""
    done = run("ps", "--json", *words)
    assert done.returncode == 3
    answer = json.loads(done.stdout)
    assert answer["problem"]["type"] == "/problems/not_running"
    return {row["name"]: row for row in answer["servers"]}


def test_the_last_state_and_crash_are_told_after_down_and_after_a_kill(project: Path, run: Run) -> None:
    write(project, server_table(), server_table(name="other"), server_table(name="never", autostart="false"))
    pid = pid_of(run("up", "--json"))
    first = servers_pid(servers(run)["fake"])
    os.kill(first, signal.SIGKILL)
    eventually(lambda: servers(run)["fake"]["generation"] == 2)
    assert run("wait").returncode == 0
    second = servers_pid(servers(run)["fake"])
    # A state is written up to 0.2 s after it is told.
    eventually(lambda: "fake is running" in run("explain", "fake").stdout)

    os.kill(pid, signal.SIGKILL)
    eventually(lambda: not psutil.pid_exists(second))
    rows = last(run)
    assert (rows["fake"]["state"], rows["fake"]["lost"], rows["never"]["state"]) == ("running", True, None)
    assert rows["fake"]["pid"] is None
    crash = rows["fake"]["last_crash"]
    assert isinstance(crash, dict)
    assert crash["how"] == "killed by SIGKILL"
    shown = run("ps")
    assert shown.stderr.startswith("no hostler supervises hostler.toml now\n")
    assert shown.stdout.splitlines()[0].split() == ["NAME", "LAST", "STATE", "SINCE", "PID", "LAST", "CRASH"]
    assert "running, then its hostler was gone" in shown.stdout
    told = run("explain", "fake")
    assert told.stderr == f"No hostler supervises {project}/hostler.toml now; this is what is on record.\n"
    assert "fake is down, though nobody stopped it" in told.stdout

    assert run("up").returncode == 0
    assert run("explain", "never").stderr == ""
    assert run("down").returncode == 0
    assert {name: row["state"] for name, row in last(run).items()} == {
        "fake": "stopped",
        "other": "stopped",
        "never": None,
    }
    assert list(last(run, "other")) == ["other"]
    assert run("ps", "nobody").returncode == 2


def test_a_hostler_that_nobody_can_ask_is_named(project: Path, run: Run, start: Start) -> None:
    write(project, server_table())
    running = start("run", "--no-control")
    running.wait_for("fake server started")
    eventually(lambda: last(run)["fake"]["state"] == "running")
    assert last(run)["fake"]["supervisor"] == running.process.pid
    assert f"by hostler (pid {running.process.pid}) without a control socket" in run("ps").stdout


@pytest.mark.parametrize("text", ["[servers.fake]\ncomand = 3\n", "[[["])
def test_a_configuration_that_cannot_be_read_is_no_obstacle(project: Path, run: Run, text: str) -> None:
    write(project, text)
    assert last(run) == {}
    assert run("ps").stdout == ""
