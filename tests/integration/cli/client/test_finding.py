"""The hostler of a configuration is found, whatever the caller's environment and the links on the way."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

from background_project import pid_of, servers, write
from cli_project import eventually
from hostler_process import Run, server_table


def test_one_that_was_started_in_a_login_session_is_found_by_cron_and_ssh(
    project: Path, run: Run, environ: dict[str, str]
) -> None:
    write(project, server_table())
    state = Path(environ["XDG_RUNTIME_DIR"], "state")  # which is short enough for a socket
    login = environ | {"XDG_STATE_HOME": str(state)}
    cron = {name: value for name, value in login.items() if name != "XDG_RUNTIME_DIR"}
    for first, second in ((login, cron), (cron, login)):
        pid = pid_of(run("up", "--json", env=first))
        assert pid_of(run("up", "--json", env=second)) == pid
        assert json.loads(run("ps", "--json", env=second).stdout)["servers"][0]["state"] == "running"
        (known,) = json.loads(run("ps", "--all", "--json", env=second).stdout)["daemons"]
        assert (known["pid"], known["servers"]) == (pid, ["fake"])
        assert run("down", env=second).stdout == "all servers are stopped\n"
        for folder in (Path(environ["XDG_RUNTIME_DIR"], "hostler"), state / "hostler/control"):
            assert not folder.exists() or list(folder.iterdir()) == []


def test_by_links_there_are_as_many_hostlers_as_the_locks_of_servers_allow(
    tmp_path: Path, run: Run, environ: dict[str, str]
) -> None:
    for release in ("42", "43"):
        (tmp_path / release).mkdir()
        write(tmp_path / release, server_table())
    (tmp_path / "current").symlink_to("42")
    entered = {"cwd": tmp_path / "current", "env": environ | {"PWD": str(tmp_path / "current")}}
    pid = pid_of(run("up", "--json", **entered))
    try:
        assert pid_of(run("up", "42", "--json")) == pid
        (tmp_path / "current").unlink()
        (tmp_path / "current").symlink_to("43")
        assert pid_of(run("up", "current", "--json")) == pid
        assert run("ps", "42").returncode == 3
    finally:
        assert run("down", "current").returncode == 0


def test_a_signal_goes_to_no_process_that_has_the_pid_of_one_that_has_ended(
    project: Path, run: Run, environ: dict[str, str]
) -> None:
    write(project, server_table())
    pid_of(run("up", "--json"))
    (lock,) = Path(environ["XDG_RUNTIME_DIR"], "hostler").glob("*.lock")
    known = json.loads(lock.read_text())
    other = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    with other:
        for one in (lock, project / "state/hostler/control" / lock.name):
            one.write_text(json.dumps(known | {"pid": other.pid}))
        lock.with_suffix(".sock").unlink()
        done = run("ps")
        assert done.returncode == 5
        assert "kill" not in done.stderr
        assert other.poll() is None
        other.communicate(b"\n")
    assert other.returncode == 0
    for one in (lock, project / "state/hostler/control" / lock.name):
        one.write_text(json.dumps(known))
    eventually(lambda: servers(run)["fake"]["state"] == "running")


def test_locks_that_were_deleted_are_taken_again(project: Path, run: Run, environ: dict[str, str]) -> None:
    write(project, server_table())
    pid = pid_of(run("up", "--json"))
    (lock,) = Path(environ["XDG_RUNTIME_DIR"], "hostler").glob("*.lock")
    for one in (lock, project / "state/hostler/control" / lock.name):
        one.unlink()
        assert pid_of(run("up", "--json")) == pid
        os.kill(pid, signal.SIGUSR1)
        eventually(one.exists)
