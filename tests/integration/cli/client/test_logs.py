"""`hostler logs`: what was printed, and what is printed over the lives of servers and of hostler itself."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections import defaultdict
from pathlib import Path

from background_project import pid_of, servers, servers_pid, write
from cli_project import eventually
from hostler.control.control_lock import ControlLock
from hostler.control.location import locate
from hostler_process import HOSTLER, Run, Start, server_table

INDEX = "log-rotation = { index = true }\n"
COUNTER = """
import itertools, os, time
for number in itertools.count(1):
    print(os.getpid(), number, flush=True)
    time.sleep(0.005)
"""


def table(name: str, *switches: str) -> str:
    return server_table(*switches, name=name) + INDEX


def test_lines_of_all_servers_are_shown_as_they_are_wanted(
    project: Path, run: Run, environ: dict[str, str]
) -> None:
    write(project, table("web", "--print", "one [x]", "--print-error", "bad"), table("db", "--print", "two"))
    run("up")

    def texts(*words: str) -> list[str]:
        done = run("logs", *words)
        assert (done.returncode, done.stderr) == (0, ""), words
        return done.stdout.splitlines()

    eventually(lambda: {"one [x]", "bad", "two"} <= set(texts("--raw")))
    times = [re.fullmatch(r"(20[0-9-]{8}T[0-9:]{8}[.][0-9]{3}Z) (web|db ) [|] .+", line) for line in texts()]
    assert all(times)
    assert sorted(times, key=lambda found: found[1]) == times  # type: ignore[index]
    assert "db  | two" in texts("--no-time")
    assert "bad" in texts("--stream", "stderr", "--no-time", "--no-prefix", "web")
    assert "bad" not in texts("--stream", "stdout", "--raw", "web")
    assert texts("--grep", "^(one|two)", "--raw", "db") == ["two"]
    assert texts("--grep", "on.+]", "--raw") == ["one [x]"]
    assert len(texts("-n1")) == 1
    assert texts("--raw", "--since", "1h", "--run", "1", "--grep", "o") == texts("--raw", "--grep", "o")
    assert texts("--until", "1h") == texts("--since", "2999-01-01") == texts("--run", "2") == []
    shown = json.loads(texts("--json", "--grep", "two")[0])
    assert shown.keys() == {"time", "server", "stream", "run", "pid", "text", "cursor", "partial"}
    assert (shown["server"], shown["stream"], shown["run"], shown["text"]) == ("db", "stdout", 1, "two")

    command = f"{' '.join(HOSTLER)} logs | head -n 1"
    head = subprocess.run(["sh", "-c", command], cwd=project, env=environ, capture_output=True, check=True)
    assert (head.stdout.count(b"\n"), head.stderr) == (1, b"")
    for silent in ("logs", "events"):
        command = f"{' '.join(HOSTLER)} {silent} -f | head -n 1"  # no line comes that could not be written
        subprocess.run(["sh", "-c", command], cwd=project, env=environ, check=True, timeout=20)

    before = texts()
    run("down")
    done = run("logs")
    assert (done.returncode, done.stdout.splitlines()[: len(before)]) == (3, before)
    told = "no hostler supervises hostler.toml now: this is what its servers have printed before\n"
    assert done.stderr == told
    file = project / "hostler.toml"
    file.write_text(file.read_text().replace("[servers.db", "[profiles.p.servers.db"))
    assert "there is no server 'db'" in run("logs", "db").stderr
    assert "two" in run("logs", "db", "--profile", "p", "--raw").stdout.splitlines()


def test_a_call_of_logs_that_cannot_be_meant_is_told(project: Path, run: Run) -> None:
    write(project, table("web"))
    for words, message in (
        ("--grep (", "--grep takes a regular expression, found '('"),
        ("--since yesterday", '--since takes a duration, as "10m", or a time, as "2'),
        ("--stream out", "--stream takes stdout, stderr, found 'out'"),
        ("--lines many", "--lines takes a number, found 'many'"),
        ("-f --until 1m", "--until ends before --follow begins"),
        ("wbe", "there is no server 'wbe'; there are: web"),
    ):
        done = run("logs", *words.split())
        assert done.returncode == 2
        assert message in done.stderr
    write(project, "[servers.web]\ncomand = 3\n")
    assert "comand: unknown key" in run("logs").stderr


def test_following_goes_on_over_each_life_of_a_server_and_of_hostler(
    project: Path, run: Run, start: Start
) -> None:
    """As a user has it who keeps it in a second terminal."""
    write(project, table("web", "--print", "hello"))
    run("up")
    following = start("logs", "-f")
    following.wait_for("web | hello")
    os.kill(servers_pid(servers(run)["web"]), signal.SIGKILL)
    following.wait_for("--- web: run 2 began (pid ")
    eventually(lambda: servers(run)["web"]["state"] == "running")
    run("restart", "web")
    following.wait_for(f"--- web: run 3 began (pid {servers(run)['web']['pid']}) ---")
    write(project, table("web", "--print", "changed"), table("new", "--print", "born"))
    run("up")
    following.wait_for("web | changed")
    following.wait_for("new | born")
    run("down")
    following.wait_for("no hostler supervises hostler.toml now: waiting for one")
    run("up")
    following.wait_for(f"--- web: run 1 began (pid {servers(run)['web']['pid']}) ---")
    following.send(signal.SIGINT)
    assert following.end() == 130
    assert sum("hello" in line for line in following.stdout) == 3
    assert sum("web | changed" in line for line in following.stdout) == 2
    assert following.stderr == ["no hostler supervises hostler.toml now: waiting for one"]


def test_following_a_server_that_the_next_hostler_does_not_have_is_told(
    project: Path, run: Run, start: Start
) -> None:
    write(project, table("web", "--print", "hello"), table("old", "--print", "hello"))
    run("up")
    following = start("logs", "-f", "old")
    following.wait_for("old | hello")
    write(project, table("web", "--print", "hello"))
    run("restart-daemon")
    assert following.end() == 2, following.stderr
    assert following.stderr[-1] == "there is no server 'old'; there are: web"


def test_following_waits_for_the_socket_of_a_hostler_that_has_its_lock(
    project: Path, run: Run, start: Start, environ: dict[str, str]
) -> None:
    write(project, table("web", "--print", "hello"))
    run("up")
    following = start("logs", "-f")
    following.wait_for("web | hello")
    run("down")
    following.wait_for("waiting for one")
    lock = ControlLock.take(locate(str(project / "hostler.toml"), environ).everywhere[0], relistens=False)
    time.sleep(0.5)  # five looks of the follower; a machine that is slower tests less, and fails nothing
    lock.release()
    run("up")
    following.wait_for("--- web: run 1 began")
    following.send(signal.SIGINT)
    assert following.end() == 130


def test_no_line_comes_twice_and_none_is_lost_over_rotations_and_the_death_of_hostler(
    project: Path, run: Run, start: Start
) -> None:
    # Kept is what is printed in 20 seconds: a follower that gets no processor for longer misses the rest.
    rotation = '{ index = true, max_size = "1 KiB", keep = 40 }'
    command = json.dumps([sys.executable, "-c", COUNTER])
    write(
        project,
        f"[servers.web]\ncommand = {command}\nport = false\nplugins = {{ log-rotation = {rotation} }}",
    )
    hostler = pid_of(run("up", "--json"))
    following = start("logs", "-f", "--raw", "-n", "0")
    following.wait_for(" 200")
    os.kill(hostler, signal.SIGKILL)
    following.wait_for("waiting for one")
    first = following.stdout[-1].split()[0]
    run("up")
    eventually(lambda: following.stdout[-1].split()[0] != first)
    following.wait_for(f"{following.stdout[-1].split()[0]} 200")
    following.send(signal.SIGINT)
    following.end()
    assert len(run("logs", "--raw", "-n", "30", "--grep", "[0-9]0$").stdout.splitlines()) == 30
    numbers = defaultdict(list)
    for line in following.stdout:
        pid, number = line.split()
        numbers[pid].append(int(number))
    assert len(numbers) == 2
    begins = [found[0] for found in numbers.values()]
    assert begins[1] == 1
    for begin, found in zip(begins, numbers.values(), strict=True):
        assert found == list(range(begin, begin + len(found)))


def test_in_the_background_each_server_has_a_log_for_its_user_alone(
    project: Path, run: Run, environ: dict[str, str]
) -> None:
    write(project, server_table("--print", "one", name="web"))
    run("up")
    eventually(lambda: "one" in run("logs", "--raw").stdout.splitlines())
    data = Path(environ["XDG_DATA_HOME"])
    found = [*data.rglob(".web.log.index"), *data.rglob("web.log")]
    assert [oct(one.stat().st_mode & 0o777) for one in found] == ["0o600", "0o600"]
