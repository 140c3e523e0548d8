"""`hostler run -- CMD`: a command beside the servers, with their variables, and its exit code."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from hostler_process import Configure, Run, Start, Terminal, server_table


@pytest.mark.parametrize(
    ("script", "code"),
    [
        ("exit 0", 0),
        ("exit 3", 3),
        ("kill -KILL $$", 128 + signal.SIGKILL),
        ("kill -TERM $$", 128 + signal.SIGTERM),
    ],
)
def test_the_exit_code_is_the_commands(configure: Configure, run: Run, script: str, code: int) -> None:
    configure()
    done = run("run", "--", "sh", "-c", script)
    assert done.returncode == code
    assert done.stdout == ""


def test_a_program_that_is_missing_or_cannot_be_run_is_told_before_anything_is_started(
    configure: Configure, run: Run, tmp_path: Path
) -> None:
    configure()
    (tmp_path / "plain").write_text("x")

    for program, code, reason in (
        ("no-such-program", 127, "no such program"),
        ("./no/such/program", 127, "no such program"),
        ("./plain", 126, "Permission denied"),
        (str(tmp_path), 126, "Permission denied"),
    ):
        done = run("run", "--", program)
        assert (done.returncode, done.stdout, done.stderr) == (code, "", f"{program}: {reason}\n")


def test_a_program_at_a_path_may_be_built_by_a_task(configure: Configure, run: Run) -> None:
    task = '[servers.build]\nkind = "task"\ncommand = ["sh", "-c", "{}"]\n'
    web = server_table(name="web", needs='{ build = "completed" }')
    configure(text=task.format("echo '#!/bin/sh' > app; echo exit 3 >> app; chmod +x app") + web)
    assert run("run", "--", "./app").returncode == 3
    assert run("run", "--", "./gone").returncode == 127


PUBLISHES = """
from dataclasses import dataclass
from hostler import hookimpl

@dataclass(eq=False)
class Publishes:
    @hookimpl
    async def pre_spawn(self, server):
        server.publish("WEB_AT", "${server.url}")
        server.publish("WEB_PASSWORD", "sesame-open-sesame", secret=True)
"""


def test_the_command_gets_what_the_servers_publish_and_its_output_stays_clean(
    configure: Configure, run: Run, tmp_path: Path, environ: dict[str, str]
) -> None:
    (tmp_path / "publishes.py").write_text(PUBLISHES)
    configure(text=server_table() + 'publishes = { use = "publishes.py:Publishes" }\n')
    script = "echo $WEB_AT; echo $WEB_PASSWORD; echo ${HOSTLER_RUN_ID-unset}; echo $MINE"
    done = run("run", "--", "sh", "-c", script, env=environ | {"MINE": "kept"})
    url, *others = done.stdout.splitlines()
    assert url.startswith("http://127.0.0.1:")
    assert others == ["sesame-open-sesame", "unset", "kept"]
    assert f"started on port {url.rpartition(':')[2]}" in done.stderr
    assert "sesame" not in done.stderr


def test_the_command_reads_hostlers_input(configure: Configure, run: Run) -> None:
    configure()
    assert run("run", "--", "cat", input="over and out").stdout == "over and out"


def test_options_after_the_dashes_are_the_commands(configure: Configure, run: Run) -> None:
    configure()
    assert run("run", "--quiet", "--", "echo", "--json", "--", "x").stdout == "--json -- x\n"


def test_the_command_is_not_run_when_a_server_fails(configure: Configure, run: Run, tmp_path: Path) -> None:
    configure("--exit-after", "0")
    done = run("run", "--", "touch", str(tmp_path / "ran"))
    assert done.returncode == 1
    assert not (tmp_path / "ran").exists()
    assert "fake server failed" in done.stderr


def test_json_beside_a_command_goes_to_stderr(configure: Configure, run: Run) -> None:
    configure()
    done = run("run", "--json", "--", "echo", "hello")
    assert done.stdout == "hello\n"
    assert all(line.startswith('{"time": ') for line in done.stderr.splitlines())


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_is_passed_on_to_the_command(
    configure: Configure, start: Start, number: signal.Signals
) -> None:
    configure()
    name = number.name.removeprefix("SIG")
    script = f'trap "echo got {name}; exit 5" {name}; echo waiting; while :; do sleep 0.05; done'
    hostler = start("run", "--", "sh", "-c", script, start_new_session=True)
    hostler.wait_for("waiting")
    hostler.send(number)
    assert hostler.end() == 5
    assert hostler.stdout == ["waiting", f"got {name}"]


def test_a_signal_before_the_command_is_started_ends_all(
    configure: Configure, start: Start, tmp_path: Path
) -> None:
    configure("--announce-delay", "60")
    hostler = start("run", "--", "touch", str(tmp_path / "ran"))
    hostler.wait_for("Starting")
    hostler.send(signal.SIGTERM)
    assert hostler.end() == 128 + signal.SIGTERM
    assert not (tmp_path / "ran").exists()


def test_the_second_signal_kills_a_command_that_does_not_obey(configure: Configure, start: Start) -> None:
    configure()
    script = "trap '' TERM INT; echo waiting; while :; do sleep 0.05; done"
    hostler = start("run", "--", "sh", "-c", script, start_new_session=True)
    hostler.wait_for("waiting")
    hostler.send(signal.SIGTERM)
    hostler.wait_for("fake server started")
    time.sleep(0.1)
    hostler.send(signal.SIGINT)  # a second SIGTERM as soon as this could be the first, sent by `timeout`
    assert hostler.end() == 128 + signal.SIGKILL


def test_a_killed_hostler_leaves_the_command_to_itself_but_no_server(
    configure: Configure, start: Start, marked: Callable[[str], list[int]], tmp_path: Path
) -> None:
    configure("--first", str(tmp_path / "mark"))
    hostler = start("run", "--", "sh", "-c", "echo $$; exec sleep 60")
    hostler.wait_for("started on port")
    until = time.monotonic() + 10

    while not hostler.stdout:
        assert time.monotonic() < until
        time.sleep(0.01)

    hostler.process.kill()
    os.kill(int(hostler.stdout[0]), signal.SIGKILL)
    hostler.end()

    while marked(str(tmp_path / "mark")):
        assert time.monotonic() < until
        time.sleep(0.01)


def test_dashes_without_a_command_are_a_mistake(configure: Configure, run: Run) -> None:
    configure()
    done = run("run", "--")
    assert done.returncode == 2
    assert 'a command must follow "--"' in done.stderr


def test_pipes_of_the_command_are_its_own(
    configure: Configure, tmp_path: Path, environ: dict[str, str]
) -> None:
    configure()
    script = "python3 -c 'print(\"x\\n\" * 100000)'"
    import sys

    argv = [sys.executable, "-m", "hostler.cli", "run", "--quiet", "--", "sh", "-c", f"{script} | head -1"]
    done = subprocess.run(
        argv, cwd=tmp_path, env=environ, capture_output=True, text=True, timeout=30, check=False
    )
    assert done.stdout == "x\n"


def test_a_ctrl_c_of_the_terminal_reaches_the_command_once(
    configure: Configure, tmp_path: Path, environ: dict[str, str]
) -> None:
    configure()
    script = "trap 'echo interrupted; n=1' INT; echo waiting; while [ ! $n ]; do sleep 0.05; done"
    terminal = Terminal(tmp_path, environ, "run", "--", "sh", "-c", f"{script}; sleep 0.3; exit 4")
    terminal.read_until("waiting")
    terminal.press(b"\x03")
    assert terminal.end() == 4
    assert terminal.text.count("interrupted") == 1


def test_the_command_is_told_where_each_server_is(configure: Configure, run: Run) -> None:
    script = 'echo "$HOSTLER_URL|$HOSTLER_URL_MY_WEB|$HOSTLER_URL_DB"'
    configure(text=server_table(name="my-web"))
    one, same, _ = run("run", "--", "sh", "-c", script).stdout.strip().split("|")
    assert one == same
    assert one.startswith("http://127.0.0.1:")
    configure(text=server_table(name="my-web") + server_table(name="db"))
    alone, web, db = run("run", "--", "sh", "-c", script).stdout.strip().split("|")
    assert alone == ""
    assert web.startswith("http://127.0.0.1:")
    assert web != db != ""
    alone, web, db = run("run", "db", "--", "sh", "-c", script).stdout.strip().split("|")
    assert (alone == db != "", web) == (True, "")
