"""`hostler run` inherits every orphan and reaps them, as the first process of a container too."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from cli_project import eventually
from controlled import short_folder
from hostler_process import HOSTLER, Configure, Start

UNSHARE = ("unshare", "--pid", "--fork", "--mount-proc", "--kill-child")


def may_unshare() -> bool:
    if os.geteuid() != 0 or shutil.which("unshare") is None:
        return False
    return subprocess.run([*UNSHARE, "true"], check=False, capture_output=True).returncode == 0


needs_namespace = pytest.mark.skipif(not may_unshare(), reason="needs a pid namespace: root on Linux")

# Leaves an orphan behind that ends soon, then becomes the server.
ORPHANS = 'for i in 1 2 3; do (setsid sleep 0.2 &); done; exec "$@"'

ESSENTIAL = """
[servers.a]
kind = "task"
command = ["sh", "-c", "exit 7"]
essential = true
restart.policy = "never"
"""


def first_process(pid: int) -> psutil.Process:
    """The process that `unshare` has started, as seen from outside."""
    until = time.monotonic() + 10
    while not (children := psutil.Process(pid).children()):
        assert time.monotonic() < until
        time.sleep(0.01)
    return children[0]


@needs_namespace
@pytest.mark.parametrize("command", [(), ("--", "sh", "-c", f"{ORPHANS}", "sh", "sleep", "60")])
def test_orphans_are_reaped_and_the_server_is_not(
    configure: Configure, start: Start, tmp_path: Path, command: tuple[str, ...]
) -> None:
    file = configure()
    text = file.read_text().replace("command = [", f"command = ['sh', '-c', '''{ORPHANS}''', 'sh', ")
    file.write_text(text)
    hostler = start("run", *command, before=UNSHARE)
    hostler.wait_for("started on port")
    first = first_process(hostler.process.pid)
    until = time.monotonic() + 10

    while len(children := first.children()) != (2 if command else 1):
        assert time.monotonic() < until, children
        time.sleep(0.05)

    first.send_signal(signal.SIGTERM)
    assert hostler.end() == (128 + signal.SIGTERM if command else 0)
    assert "fake server stopped" in hostler.stdout + hostler.stderr


@needs_namespace
def test_a_crash_of_the_server_is_seen_by_the_first_process_too(configure: Configure, start: Start) -> None:
    configure("--exit-after", "0.3", "--exit-code", "5")
    hostler = start("run", before=UNSHARE)
    hostler.wait_for("fake server crashed: exit code 5")
    hostler.wait_for("1 of 5 restarts used")
    first_process(hostler.process.pid).send_signal(signal.SIGTERM)  # unshare itself does not pass it on
    assert hostler.end() == 0


@pytest.mark.skipif(sys.platform != "linux", reason="other systems leave orphans to their first process")
def test_orphans_are_adopted_and_reaped_without_being_the_first_process(
    configure: Configure, start: Start, tmp_path: Path
) -> None:
    note = tmp_path / "orphans"
    leaves = f'for i in 1 2 3; do (sleep 2 & echo $! >> {note}); done; exec "$@"'
    file = configure()
    quoted = f"command = ['sh', '-c', '''{leaves}''', 'sh', "
    file.write_text(file.read_text().replace("command = [", quoted))
    hostler = start("run", "--", "sh", "-c", leaves, "sh", "sleep", "60")
    hostler.wait_for("started on port")
    until = time.monotonic() + 20

    while not (note.exists() and len(orphans := note.read_text().split()) == 6):
        assert time.monotonic() < until
        time.sleep(0.01)
    assert {psutil.Process(int(pid)).ppid() for pid in orphans} == {hostler.process.pid}
    while any(psutil.pid_exists(int(pid)) for pid in orphans):
        assert time.monotonic() < until, orphans
        time.sleep(0.05)

    assert len(psutil.Process(hostler.process.pid).children()) == 2
    hostler.send(signal.SIGTERM)
    assert hostler.end() == 128 + signal.SIGTERM


@needs_namespace
def test_a_program_that_hosts_servers_as_process_1_is_told_about_orphans(tmp_path: Path) -> None:
    program = """if True:
    import hostler, logging, pathlib, sys
    logging.basicConfig(format="%(message)s")
    spec = hostler.ServerSpec(name="web", command=("sleep", "60"), port=None)
    with hostler.serve(spec) as servers:
        servers["web"].wait_ready(20)
    """
    environ = {**os.environ, "HOME": str(tmp_path)}
    argv = [*UNSHARE, sys.executable, "-c", program]
    done = subprocess.run(argv, env=environ, capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stdout) == (0, "")
    assert "web: this program is process 1, and reaps no orphans" in done.stderr


def inside(first: psutil.Process, *words: str) -> list[str]:
    """A command in the same container, as `docker exec` runs it."""
    return ["nsenter", "--target", str(first.pid), "--pid", "--mount", *HOSTLER, *words]


@needs_namespace
def test_client_commands_beside_the_first_process_reach_it(
    configure: Configure, start: Start, environ: dict[str, str]
) -> None:
    file = str(configure())
    with short_folder() as folder:
        env = environ | {"XDG_RUNTIME_DIR": str(folder)}
        hostler = start("run", before=UNSHARE, env=env)
        hostler.wait_for("started on port")
        first = first_process(hostler.process.pid)
        sockets = folder / "hostler"

        def call(name: str, *words: str) -> subprocess.CompletedProcess[str]:
            argv = inside(first, name, file, *words)
            return subprocess.run(argv, env=env, capture_output=True, text=True, check=False)

        eventually(lambda: call("ps").returncode == 0)
        (row,) = json.loads(call("ps", "--json").stdout)["servers"]
        assert (row["state"], row["pid"] < 100) == ("running", True)  # as it is numbered inside

        for path in sockets.glob("*.sock"):
            path.unlink()
        assert call("ps").returncode == 0  # it was asked by SIGUSR1, which must not end it

        down = call("down")
        assert (down.returncode, down.stdout) == (0, "all servers are stopped\n")
        assert hostler.end() == 0
        assert list(sockets.iterdir()) == []


@needs_namespace
def test_up_in_a_container_lives_below_a_first_process_that_is_not_hostler(
    configure: Configure, start: Start, environ: dict[str, str]
) -> None:
    configure()
    script = '"$@" up && "$@" ps --check && "$@" down; echo code $?'
    with short_folder() as folder:
        env = environ | {"XDG_RUNTIME_DIR": str(folder)}
        container = start(before=(*UNSHARE, "sh", "-c", script, "sh"), env=env)
        container.wait_for("code 0")
        assert container.end() == 0
        assert "all servers are stopped" in container.stdout


@needs_namespace
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_stops_the_first_process_in_order(configure: Configure, start: Start, number: int) -> None:
    configure("--term-delay", "0.3")
    hostler = start("run", before=("setsid", *UNSHARE))
    hostler.wait_for("started on port")
    first = first_process(hostler.process.pid)
    first.send_signal(number)
    if number == signal.SIGHUP:  # a reload, as services have it
        hostler.wait_for("reload: nothing has changed")
        first.send_signal(signal.SIGTERM)
    assert hostler.end() == 0
    assert "fake server stopped" in hostler.stdout


@needs_namespace
@pytest.mark.parametrize(
    ("tables", "code"),
    [
        (ESSENTIAL, 7),
        ('[servers.a]\nkind = "task"\ncommand = ["true"]\n', 0),
        ('[servers.a]\ncommand = ["/nowhere/program"]\nport = false\nrestart = { start_retries = 0 }\n', 1),
        ("[servers.a]\ncomand = 3\n", 2),
    ],
)
def test_the_exit_code_of_the_first_process_is_that_of_the_run(
    configure: Configure, start: Start, tables: str, code: int
) -> None:
    configure(text=tables)
    assert start("run", before=UNSHARE).end() == code


@needs_namespace
def test_nothing_outlives_a_first_process_that_is_killed(configure: Configure, start: Start) -> None:
    configure("--spawn-session-child")
    hostler = start("run", before=UNSHARE)
    hostler.wait_for("started on port")
    first = first_process(hostler.process.pid)
    below = first.children(recursive=True)
    assert len(below) >= 2
    first.kill()
    assert psutil.wait_procs(below, timeout=10)[1] == []
