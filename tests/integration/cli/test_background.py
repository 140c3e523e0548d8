"""Programs that go to the background, and keep no variable, session or parent of their server."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import psutil
import pytest
from hostler.process.tree.run_mark import mark_option
from hostler_process import Configure, Run, Start, server_table
from opencode_context import free_port
from third_party_servers import system_program

pytestmark = pytest.mark.skipif(not mark_option("", ()), reason="the system has no limit to mark with")

FORKS = """
import os, sys, time
if "stay" in sys.argv and os.fork():
    time.sleep(60)
for step in range(int(sys.argv[1])):
    if os.fork(): os._exit(0)
    if step == 0: os.setsid()
os.closerange(0, 10)
os.execve("/bin/sleep", ["sleep", "60"], {})
"""
NGINX = """
pid %s/nginx.pid;
error_log stderr;
events {}
http { access_log off; server { listen 127.0.0.1:%d; } }
"""
PROGRAMS = ("redis", "nginx", "twice", "often")


def forks(times: int, *words: str) -> list[str]:
    return [sys.executable, "-I", "-S", "-c", FORKS, str(times), *words]


def command_of(program: str, folder: Path) -> list[str]:
    if program == "redis":
        redis = str(system_program("redis-server"))
        options = ["--bind", "127.0.0.1", "--dir", str(folder), "--save", "", "--daemonize", "yes"]
        return [redis, "--port", str(free_port()), *options]
    if program == "nginx":
        (folder / "nginx.conf").write_text(NGINX % (folder, free_port()))
        return [str(system_program("nginx")), "-c", str(folder / "nginx.conf"), "-e", "stderr"]
    return forks(2 if program == "twice" else 150)


def table(name: str, command: Sequence[str], **settings: str) -> str:
    settings = {"restart": "{ start_retries = 0, max_restarts = 0 }"} | settings
    lines = [f"[servers.{name}]", f"command = {json.dumps(command)}"]
    return "\n".join([*lines, *(f"{key} = {value}" for key, value in settings.items()), ""])


def living_in(folder: Path) -> list[str]:
    """Who works in a folder: what these programs keep, whatever else they drop."""
    found = psutil.process_iter(["pid", "name", "cwd"])
    return [f"{one.info['pid']} {one.info['name']}" for one in found if one.info["cwd"] == str(folder)]


def sleepers_in(folder: Path) -> list[str]:
    return [one for one in living_in(folder) if one.endswith(" sleep")]


def wait_until_gone(folder: Path) -> None:
    until = time.monotonic() + 20
    while left := sleepers_in(folder):
        assert time.monotonic() < until, left
        time.sleep(0.05)


@pytest.fixture
def busy() -> Iterator[None]:
    """Every processor has something else to do."""
    loops = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(os.cpu_count() or 1)]
    yield
    for loop in loops:
        loop.kill()
        loop.wait()


@pytest.mark.parametrize("program", PROGRAMS)
def test_it_is_named_as_such_with_the_cure_and_ended(
    configure: Configure, run: Run, tmp_path: Path, program: str
) -> None:
    configure(text=table("old", command_of(program, tmp_path)))
    done = run("run")
    assert done.returncode == 1
    assert "it went to the background: its main process ended with exit code 0" in done.stdout + done.stderr
    assert "run it in the foreground" in done.stdout + done.stderr
    assert living_in(tmp_path) == []


def test_several_at_once_beside_others_and_busy_processors_take_nobody_elses(
    configure: Configure, start: Start, tmp_path: Path, busy: None
) -> None:
    daemons = "\n".join(table(name, command_of(name, tmp_path)) for name in PROGRAMS)
    configure(text=daemons + "\n".join(server_table(name=f"web{number}") for number in range(4)))
    hostler = start("run")

    for name in PROGRAMS:
        hostler.wait_for(f"{name} server failed: it went to the background", 60)

    for number in range(4):
        hostler.wait_for(f"web{number} server started", 60)

    hostler.send(signal.SIGTERM)
    assert hostler.end(60) == 1
    assert not [line for line in [*hostler.stdout, *hostler.stderr] if "web" in line and "crashed" in line]
    assert living_in(tmp_path) == []


@pytest.mark.parametrize("guard", ["true", "false"])
def test_what_hid_from_a_living_server_is_ended_behind_a_killed_hostler(
    configure: Configure, start: Start, run: Run, tmp_path: Path, guard: str
) -> None:
    configure(text=table("old", forks(2, "stay"), port="false", guard=guard))
    hostler = start("run")
    until = time.monotonic() + 20

    while not sleepers_in(tmp_path):
        assert time.monotonic() < until
        time.sleep(0.05)

    hostler.process.kill()
    hostler.end()

    if guard == "false":
        configure(text=table("old", ["true"], port="false"))
        run("run")

    wait_until_gone(tmp_path)


def test_what_a_command_beside_leaves_is_nobody_of_a_servers(
    configure: Configure, run: Run, tmp_path: Path
) -> None:
    configure()
    done = run("run", "--", *forks(2))
    left = sleepers_in(tmp_path)
    for one in left:
        os.kill(int(one.split()[0]), signal.SIGKILL)
    assert (done.returncode, len(left)) == (0, 1)
