"""Faults around servers in the background: a full disk, a clock that is set, and the order of an end."""

from __future__ import annotations

import json
import os
import resource
import shutil
import signal
import socket
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path

import psutil
import pytest
from background_project import pid_of, servers, servers_pid, write
from child_environment import without_coverage
from cli_project import eventually
from hostler_process import HOSTLER, Run, server_table
from log_files import small_disk

__all__ = ["small_disk"]

CLOCK = Path(__file__).parents[3] / "faults" / "wall_clock.c"


def test_an_end_stops_servers_before_those_that_they_need(project: Path, run: Run, tmp_path: Path) -> None:
    slow = ("--term-delay", "0.3")
    write(project, server_table(*slow, name="db"), server_table(*slow, name="web", needs='["db"]'))
    assert run("up").returncode == 0
    assert run("down").returncode == 0
    (log,) = (tmp_path / "data").rglob("daemon.log")
    words = log.read_text()
    assert words.index("web: stopping -> stopped") < words.index("db: running -> stopping")


def test_up_says_once_why_hostler_could_not_begin(project: Path, run: Run, tmp_path: Path) -> None:
    write(project, server_table())
    (tmp_path / "file").touch()
    up = run("up", "--socket", str(tmp_path / "file" / "socket"))
    assert up.returncode == 1
    assert up.stderr.count("the control socket cannot be made") == 1, up.stderr
    (log,) = (tmp_path / "data").rglob("daemon.log")
    assert "the control socket cannot be made" in log.read_text()


def test_where_a_limit_keeps_hostler_from_its_socket_up_names_the_limit(
    project: Path, environ: dict[str, str]
) -> None:
    write(project, server_table())
    argv = ["sh", "-c", 'ulimit -f 0; exec "$@"', "sh", *HOSTLER, "up"]
    env = without_coverage(environ)
    done = subprocess.run(argv, cwd=project, env=env, stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode == 1
    assert "File too large\n  what to do: raise the limit of the size of files (ulimit -f)" in done.stderr


def test_up_starts_nothing_where_everybody_could_write_its_log(
    project: Path, run: Run, tmp_path: Path
) -> None:
    write(project, server_table())
    folder = tmp_path / "data" / "hostler"
    folder.mkdir(parents=True, mode=0o700)
    folder.chmod(0o777)
    up = run("up")
    assert (up.returncode, list(folder.iterdir())) == (1, [])
    assert "cannot be used: everybody can write to it" in up.stderr
    assert f"chmod o-w {folder}" in up.stderr


def test_on_a_full_disk_commands_are_answered_and_all_ends(
    project: Path, run: Run, environ: dict[str, str], small_disk: Path
) -> None:
    write(project, server_table())
    env = environ | {f"XDG_{kind}_HOME": str(small_disk / kind.lower()) for kind in ("STATE", "DATA")}
    pid = pid_of(run("up", "--json", env=env))
    fill(small_disk)
    assert run("ps", "--check", env=env).returncode == 0
    restart = run("restart", "fake", "--timeout", "20s", env=env)
    assert restart.returncode == 0, restart.stderr
    assert run("down", env=env).returncode == 0
    eventually(lambda: not psutil.pid_exists(pid))

    fill(small_disk)
    up = run("up", env=env)
    assert up.returncode == 1
    assert f"the control socket cannot be made: {small_disk}/" in up.stderr
    assert "No space left on device\n  what to do: make room on this disk\n" in up.stderr
    (small_disk / "full").unlink()
    assert run("up", env=env).returncode == 0
    assert run("down", env=env).returncode == 0


@pytest.mark.parametrize("limit", [30, 64])
def test_where_servers_need_more_descriptors_than_there_are_commands_are_answered(
    project: Path, run: Run, tmp_path: Path, limit: int
) -> None:
    log = "port = false\nplugins = { log-rotation = {} }\n"
    write(project, *(f"[servers.w{number}]\ncommand = ['sleep', '60']\n{log}" for number in range(40)))
    up = run("up", "--json", preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit)))
    assert up.returncode == 1
    states = [row["state"] for row in json.loads(run("ps", "--json").stdout)["servers"]]
    assert (states.count("running") > 0, states.count("failed") > 0, len(states)) == (True, True, 40)
    assert run("logs").returncode == 0
    assert "raise the limit (ulimit -n)" in run("explain", "w39").stdout
    assert run("down").returncode == 0
    (log_file,) = (tmp_path / "data").rglob("daemon.log")
    assert "Traceback" not in log_file.read_text()


def test_clients_keep_no_server_from_its_restart_where_there_are_few_descriptors(
    project: Path, run: Run, environ: dict[str, str]
) -> None:
    log = "port = false\nplugins = { log-rotation = {} }\n"
    write(project, *(f"[servers.w{number}]\ncommand = ['sleep', '60']\n{log}" for number in range(12)))
    run("up", preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64)))
    eventually(lambda: {row["state"] for row in servers(run).values()} == {"running", "failed"})
    name, pid = next((one, servers_pid(row)) for one, row in servers(run).items() if row["pid"])
    (path,) = Path(environ["XDG_RUNTIME_DIR"]).rglob("*.sock")
    with ExitStack() as clients:
        for _ in range(5):
            clients.enter_context(socket.socket(socket.AF_UNIX)).connect(str(path))
        os.kill(pid, signal.SIGKILL)
        eventually(lambda: servers(run)[name]["pid"] not in {pid, None})


def fill(disk: Path) -> None:
    """Leave no byte."""
    with (disk / "full").open("ab", buffering=0) as file:
        for size in (65_536, 4_096, 1):
            try:
                while True:
                    file.write(b"x" * size)
            except OSError:
                continue


@pytest.mark.skipif(sys.platform != "linux" or shutil.which("cc") is None, reason="needs cc and LD_PRELOAD")
@pytest.mark.parametrize("shift", [-3600, 86_400])
def test_a_clock_that_is_set_disturbs_no_command(
    project: Path, run: Run, environ: dict[str, str], tmp_path: Path, shift: int
) -> None:
    library, wrong_by = tmp_path / "wall_clock.so", tmp_path / "shift"
    subprocess.run(["cc", "-shared", "-fPIC", "-O1", "-o", str(library), str(CLOCK)], check=True)
    wrong_by.write_text("0")
    env = environ | {"LD_PRELOAD": str(library), "CLOCK_SHIFT": str(wrong_by)}
    write(project, server_table())
    begun = time.monotonic()
    socket = json.loads(run("up", "--json", env=env).stdout)["socket"]
    assert socket
    wrong_by.write_text(str(shift))
    done = run("ps", "--json", env=env)
    (row,) = json.loads(done.stdout)["servers"]
    assert 0 < row["uptime"] <= time.monotonic() - begun
    assert run("wait", "--stable", "300ms", env=env).returncode == 0
    os.kill(row["pid"], 9)
    eventually(lambda: json.loads(run("ps", "--json", env=env).stdout)["servers"][0]["generation"] == 2)
    assert run("wait", "--timeout", "20s", env=env).returncode == 0
    again = time.monotonic()
    assert run("restart", "fake", env=env).returncode == 0
    assert run("down", env=env).returncode == 0
    assert time.monotonic() - again < 20
