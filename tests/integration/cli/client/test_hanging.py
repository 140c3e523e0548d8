"""A hostler that hangs, and one that is slow to begin: how long commands wait for it, and what they say."""

from __future__ import annotations

import os
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from background_project import pid_of, servers, write
from cli_project import eventually
from hostler_process import Run, Start, server_table

GATE = """
from dataclasses import dataclass
from pathlib import Path

from hostler import hookimpl

Path(__file__).with_name("gate").read_text()


@dataclass(eq=False)
class X:
    @hookimpl
    async def on_ready(self, server): pass
"""


def test_every_command_tells_of_a_hostler_that_hangs_within_five_seconds(
    project: Path, run: Run, start: Start
) -> None:
    write(project, server_table("--print", "hello") + "log-rotation = true\n")
    pid = pid_of(run("up", "--json"))
    waiting = [start("events", "-f"), start("logs", "-f"), start("wait", "--for", "stopped", "fake")]
    waiting[0].wait_for("state=running")
    waiting[1].wait_for("fake | hello")
    calls = "ps", "wait", "url fake", "stop fake", "logs", "up", "down", "exec fake -- true"

    def ask(call: str) -> tuple[int, str, float]:
        begun = time.monotonic()
        done = run(*call.split())
        return done.returncode, done.stderr, time.monotonic() - begun

    os.kill(pid, signal.SIGSTOP)
    try:
        with ThreadPoolExecutor(len(calls)) as threads:
            answers = list(threads.map(ask, calls))
        assert [one.process.wait(20) for one in waiting] == [5, 5, 5]
    finally:
        os.kill(pid, signal.SIGCONT)
    assert [code for code, _, _ in answers] == [5, 5, 5, 5, 5, 5, 5, 125]
    for _, told, seconds in answers:
        assert f"(pid {pid}) cannot be talked to" in told
        assert f"kill -9 {pid} ends it" in told
        assert 4.5 < seconds < 9.5  # a busy machine starts so many programs slowly


def test_the_timeout_of_up_includes_the_start_of_the_hostler(project: Path, run: Run) -> None:
    write(project, server_table() + 'x = { use = "./gate.py:X" }\n')
    (project / "gate.py").write_text(GATE)
    os.mkfifo(project / "gate")
    up = run("up", "--timeout", "1s")
    assert up.returncode == 4
    assert "does not listen after 1 s\n" in up.stderr
    assert "it still reads the configuration and imports plugins, and goes on; its log is " in up.stderr
    (project / "gate").write_text("open")  # waits for its reader
    (project / "gate").unlink()
    (project / "gate").write_text("open for all")
    eventually(lambda: run("ps").returncode == 0)
    eventually(lambda: servers(run)["fake"]["state"] == "running")
