"""Servers in the background, as a user has them: up, ps, wait, restart, url, down."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest
from background_project import pid_of, servers, servers_pid, write
from child_environment import without_coverage
from cli_project import eventually
from hostler.cli.client.transport import request
from hostler.cli.daemon_log import LARGEST
from hostler_process import HOSTLER, Run, Start, server_table

JOBS = """
from dataclasses import dataclass
from pathlib import Path
from hostler import hookimpl

@dataclass(eq=False)
class Jobs:
    "Tells what stands in the file `jobs`."

    @hookimpl
    async def pre_spawn(self, server, launch):
        async def what_runs():
            return Path(launch.cwd, "jobs").read_text().split()

        launch.facts["what_runs"] = what_runs
"""
TASK = '[servers.build]\nkind = "task"\ncommand = ["true"]\n'


def test_servers_live_in_the_background_from_up_to_down(
    project: Path, run: Run, environ: dict[str, str]
) -> None:
    write(project, server_table())

    up = run("up")
    assert up.returncode == 0, up.stderr
    assert "1 of 1 ready.\nhostler is in the background (pid " in up.stdout
    assert run("ps").stdout.splitlines()[0].split() == [
        "NAME",
        "STATE",
        "PID",
        "UPTIME",
        "RESTARTS",
        "MEMORY",
        "URL",
    ]

    first = servers(run)["fake"]
    assert run("url", "fake").stdout == f"{first['url']}\n"

    os.kill(int(str(first["pid"])), signal.SIGKILL)
    eventually(lambda: servers(run)["fake"]["generation"] == 2)
    assert run("wait").returncode == 0
    assert run("restart", "fake").returncode == 0
    last = servers(run)["fake"]
    assert (last["generation"], last["state"]) == (3, "running")

    assert run("stop", "fake").returncode == 0
    assert run("url", "fake").returncode == 1
    assert run("start", "fake").returncode == 0

    down = run("down")
    assert (down.returncode, down.stdout) == (0, "all servers are stopped\n")
    assert not psutil.pid_exists(int(str(servers_pid(last))))
    assert list(Path(environ["XDG_RUNTIME_DIR"], "hostler").iterdir()) == []
    again = run("down")
    assert (again.returncode, again.stdout) == (0, "no hostler supervises hostler.toml\n")


def test_python_warns_of_nothing(project: Path, run: Run, environ: dict[str, str]) -> None:
    write(project, server_table())
    done = run("up", env=environ | {"PYTHONDEVMODE": "1"})
    assert (done.returncode, "Warning" in done.stderr) == (0, False), done.stderr


def test_twenty_at_once_have_one_hostler(project: Path, run: Run) -> None:
    write(project, server_table())
    with ThreadPoolExecutor(20) as threads:
        done = list(threads.map(lambda _: run("up", "--json"), range(20)))
    assert [one.returncode for one in done] == [0] * 20, [one.stderr for one in done]
    assert len({pid_of(one) for one in done}) == 1


def test_it_outlives_the_terminal_and_keeps_no_folder(project: Path, run: Run) -> None:
    write(project, server_table())
    pid = pid_of(run("up", "--json"))
    assert os.getsid(pid) == pid
    assert psutil.Process(pid).cwd() == "/"


def test_up_again_takes_what_has_changed(project: Path, run: Run) -> None:
    write(project, server_table(), server_table(name="other"))
    pid = pid_of(run("up", "--json"))
    before = servers(run)

    write(project, server_table(), server_table("--print", "new", name="other"), server_table(name="third"))
    again = run("up", "--json")
    assert pid_of(again) == pid
    after = servers(run)
    assert after["fake"]["pid"] == before["fake"]["pid"]
    assert after["other"]["pid"] != before["other"]["pid"]
    assert after["third"]["state"] == "running"

    write(project, "[servers.fake]\ncomand = 3\n")
    wrong = run("up")
    assert wrong.returncode == 2
    assert 'did you mean "command"?' in wrong.stderr
    assert servers(run).keys() == after.keys()


def test_up_waits_for_one_that_is_about_to_end(project: Path, run: Run, start: Start) -> None:
    write(project, server_table("--term-delay", "1"))
    pid = pid_of(run("up", "--json"))
    waiting = start("wait", "--for", "stopped", "fake")
    eventually(lambda: psutil.Process(waiting.process.pid).net_connections("unix") != [])
    down = start("down")
    eventually(lambda: servers(run)["fake"]["state"] == "stopping")
    assert pid_of(run("up", "--json")) != pid
    assert (down.process.wait(20), waiting.process.wait(20)) == (0, 0)


def test_what_a_hostler_that_is_there_does_not_take_is_told(project: Path, run: Run) -> None:
    write(project, server_table())
    assert "--set" not in run("up", "--set", "servers.fake.title=a").stderr
    assert "--set: not applied, a hostler runs already" in run("up", "--set", "servers.fake.title=b").stderr


def test_a_folder_that_cannot_be_used_is_told(project: Path, run: Run, environ: dict[str, str]) -> None:
    write(project, server_table())
    up = run("up", env=environ | {"XDG_DATA_HOME": f"{project}/hostler.toml"})
    assert up.returncode == 1
    assert up.stderr.startswith(f"the directory {project}/hostler.toml/")


@pytest.mark.parametrize("words", ["ps", "check", "show"])
def test_output_that_nobody_can_read_ends_without_a_traceback(
    project: Path, run: Run, environ: dict[str, str], words: str
) -> None:
    write(project, server_table())
    run("up", "--no-start")
    for output, expected in ((">&-", (0, "")), (">/dev/full", (1, "No space left on device\n"))):
        argv = ["sh", "-c", f'exec "$@" {output}', "sh", *HOSTLER, words]
        done = subprocess.run(argv, cwd=project, env=environ, stderr=subprocess.PIPE, text=True, check=False)
        assert (done.returncode, done.stderr) == expected


def test_only_what_is_named_is_started_and_the_rest_can_be_later(project: Path, run: Run) -> None:
    write(project, server_table(), server_table(name="other"))
    assert run("up", "other").returncode == 0
    assert {name: row["state"] for name, row in servers(run).items()} == {
        "fake": "stopped",
        "other": "running",
    }
    assert run("up", "fake").returncode == 0
    assert servers(run)["fake"]["state"] == "running"


def test_up_starts_what_starts_by_itself_and_never_was_and_nothing_that_was_stopped(
    project: Path, run: Run
) -> None:
    names = ("ran", "never", "first", "rest")
    write(project, *(server_table(name=name) for name in names), server_table(name="own", autostart="false"))
    for options in ("--no-start", "first"):
        run("up", options)
        run("start", "ran")
        run("stop", "ran", "never")
        assert run("up").returncode == 0
        states = {name: row["state"] for name, row in servers(run).items()}
        left = "ran", "never", "own"
        assert states == {name: "stopped" if name in left else "running" for name in (*names, "own")}
        assert run("up").stderr == ""
        run("down")


def test_up_counts_the_same_servers_whether_it_starts_hostler_or_finds_one(project: Path, run: Run) -> None:
    write(project, server_table(), server_table(name="own", autostart="false"))
    for _ in range(2):
        answer = json.loads(run("up", "--json").stdout)
        assert [row["name"] for row in answer["servers"]] == ["fake"]
    run("start", "own")
    assert "2 of 2 ready." in run("up").stdout


def test_it_may_begin_with_nothing_started(project: Path, run: Run) -> None:
    write(project, server_table())
    up = run("up", "--no-start", "./hostler.toml")
    assert up.returncode == 0
    assert up.stdout.endswith(": hostler ps ./hostler.toml, hostler down ./hostler.toml\n")
    assert servers(run)["fake"]["state"] == "stopped"


def test_a_configuration_that_is_wrong_starts_nothing(project: Path, run: Run) -> None:
    write(project, "[servers.fake]\ncomand = 3\n")
    up = run("up")
    assert up.returncode == 2
    assert 'hostler.toml:2: servers.fake.comand: unknown key; did you mean "command"?' in up.stderr
    problem = json.loads(run("up", "--json").stdout)["problem"]
    assert (problem["type"], "comand" in problem["detail"]) == ("/problems/invalid_configuration", True)
    write(project, server_table())
    unknown = run("up", "nope")
    told = f"no server 'nope' in {project}/hostler.toml; there are: fake\n"
    assert (unknown.returncode, unknown.stderr) == (2, told)
    assert run("ps").returncode == 3


@pytest.mark.parametrize("words", ["ps", "check", "run", "show"])
def test_a_folder_that_was_removed_is_what_a_command_in_it_tells(
    tmp_path: Path, environ: dict[str, str], words: str
) -> None:
    # As an installed one.
    command = f"mkdir gone; cd gone; rmdir ../gone; {sys.executable} -P -m hostler.cli {words}"
    done = subprocess.run(["sh", "-c", command], cwd=tmp_path, env=environ, capture_output=True, check=False)
    assert done.returncode == 1
    assert done.stderr == b"the folder that this shell is in was removed: change to another one\n"


def test_a_server_that_is_given_up_is_told_with_its_last_line(project: Path, run: Run) -> None:
    write(project, server_table("--print-error", "no module vite", "--exit-after", "0"))
    up = run("up")
    assert up.returncode == 1
    assert "no module vite" in up.stderr
    found = json.loads(run("wait", "--json").stdout)
    assert (found["problem"]["type"], found["problem"]["server"]) == ("/problems/failed", "fake")


def test_a_server_that_is_given_up_is_told_with_what_to_do(project: Path, run: Run) -> None:
    write(project, '[servers.web]\ncommand = "hostler-no-such-program"\nport = false\n')
    hint = "what to do: install hostler-no-such-program, give its full path in command, or set PATH in env"
    assert f"{hint}; hostler is in the background (pid " in run("up").stderr
    assert run("wait").stderr.endswith(f"{hint}\n")


def test_a_task_counts_when_it_has_completed(project: Path, run: Run) -> None:
    write(project, TASK, server_table())
    assert run("up").returncode == 0
    assert servers(run)["build"]["completed"] is True
    assert run("wait", "build", "--for", "completed").returncode == 0


def test_a_timeout_ends_the_waiting_alone(project: Path, run: Run) -> None:
    write(project, server_table("--no-listen"))
    run("up", "--no-wait")
    seconds = 1
    # The time counts for the reload, too, which comes first and takes as long as it takes.
    while "not ready" not in (up := run("up", "--timeout", f"{seconds}s")).stderr and seconds < 30:
        seconds *= 2
    assert up.returncode == 4
    assert f"fake: not ready after {seconds} s: waiting ready" in up.stderr
    assert "hostler is in the background (pid " in up.stderr
    assert servers(run)["fake"]["state"] == "waiting_ready"


def test_ctrl_c_ends_the_waiting_alone(project: Path, run: Run, start: Start) -> None:
    write(project, server_table("--no-listen"))
    up = start("up", "./hostler.toml")
    eventually(lambda: run("ps").returncode == 0)
    up.process.send_signal(signal.SIGINT)
    assert up.process.wait(20) == 130
    up.wait_for("the servers go on; `hostler down ./hostler.toml` stops them")
    assert servers(run)["fake"]["wanted"] == "up"


def test_wait_looks_for_a_time_without_interruption(project: Path, run: Run) -> None:
    write(project, server_table())
    run("up")
    begin = time.monotonic()
    assert run("wait", "--for", "healthy", "--stable", "300ms").returncode == 0
    assert time.monotonic() - begin >= 0.3


def test_wait_looks_for_a_quiet_moment(project: Path, run: Run, start: Start) -> None:
    (project / "jobs.py").write_text(JOBS)
    jobs = project / "jobs"
    jobs.write_text("build test")
    write(project, server_table() + "jobs = { use = 'jobs.py:Jobs' }\n")
    run("up")
    busy = run("wait", "--for", "idle", "--timeout", "300ms")
    assert (busy.returncode, busy.stderr) == (4, "fake: not idle after 0.3 s: running: build, test\n")
    waiting = start("wait", "--for", "idle", "--json")
    eventually(lambda: psutil.Process(waiting.process.pid).net_connections("unix") != [])
    jobs.write_text("")
    assert waiting.end() == 0
    assert json.loads(waiting.stdout[0])["servers"][0]["idle"] is True


def test_a_restart_in_a_quiet_moment_need_not_be_waited_for(project: Path, run: Run) -> None:
    (project / "jobs.py").write_text(JOBS)
    jobs = project / "jobs"
    jobs.write_text("build")
    write(project, server_table() + "jobs = { use = 'jobs.py:Jobs' }\n")
    run("up")
    refused = run("restart", "fake", "--when-idle", "--within", "100ms")
    assert (refused.returncode, refused.stderr.splitlines()) == (
        1,
        [
            "fake: it was not idle within 0.1 s, so it was not restarted; running: build",
            "  what to do: allow more time (--within), or leave out --when-idle",
        ],
    )
    late = run("restart", "fake", "--when-idle", "--timeout", "100ms")
    assert (late.returncode, late.stderr) == (4, "it is not done in time, and goes on\n")
    asked = run("restart", "fake", "--when-idle", "--no-wait", "--json")
    assert asked.returncode == 0, asked
    assert json.loads(asked.stdout)["servers"][0]["server"]["generation"] == 1
    jobs.write_text("")
    eventually(lambda: servers(run)["fake"]["generation"] == 2)


def test_all_hostlers_of_a_user_are_listed(project: Path, run: Run) -> None:
    write(project, server_table())
    assert run("ps", "--all").stdout == "no hostler runs\n"
    pid = pid_of(run("up", "--json"))
    assert run("ps", "--all").stdout == f"{project}/hostler.toml  (pid {pid})  fake\n"


def test_a_run_in_a_terminal_is_reached_from_the_next_one(project: Path, run: Run, start: Start) -> None:
    write(project, server_table())
    running = start("run")
    running.wait_for("fake server started")
    eventually(lambda: run("ps").returncode == 0)
    assert servers(run)["fake"]["state"] == "running"
    assert "hostler runs in the foreground (pid " in run("up").stdout
    assert run("down").returncode == 0
    assert running.process.wait(20) == 0


def test_a_run_may_have_no_socket(project: Path, run: Run, start: Start, environ: dict[str, str]) -> None:
    write(project, server_table())
    start("run", "--no-control").wait_for("fake server started")
    assert run("ps").returncode == 3
    assert not Path(environ["XDG_RUNTIME_DIR"], "hostler").exists()


def test_a_killed_hostler_leaves_nothing_that_anybody_has_to_remove(project: Path, run: Run) -> None:
    write(project, server_table())
    pid = pid_of(run("up", "--json"))
    server = servers_pid(servers(run)["fake"])
    os.kill(pid, signal.SIGKILL)
    eventually(lambda: not psutil.pid_exists(server))
    assert run("ps").returncode == 3
    assert run("up").returncode == 0
    assert servers(run)["fake"]["state"] == "running"


def test_a_hostler_that_takes_no_more_clients_is_told(project: Path, run: Run) -> None:
    write(project, server_table())
    path = json.loads(run("up", "--json", "--no-start").stdout)["socket"]
    held = [socket.socket(socket.AF_UNIX) for _ in range(65)]
    for one in held:
        one.connect(path)
        # A request whose body does not come is under way until then.
        one.sendall(
            b"POST /v1/servers/stop HTTP/1.1\r\nHost: x\r\n"
            b"Content-Type: application/json\r\nContent-Length: 9\r\n\r\n"
        )
    try:
        assert b"503" in held[-1].recv(100)
        done = run("ps")
    finally:
        for one in held:
            one.close()
    assert (done.returncode, done.stderr) == (5, "64 requests are being answered, which is the most\n")


def test_a_socket_that_was_deleted_is_asked_for(project: Path, run: Run, environ: dict[str, str]) -> None:
    write(project, server_table())
    pid = pid_of(run("up", "--json"))
    for path in Path(environ["XDG_RUNTIME_DIR"], "hostler").glob("*.sock"):
        path.unlink()
    assert pid_of(run("up", "--json")) == pid


def test_a_folder_that_was_deleted_is_made_again(project: Path, run: Run, environ: dict[str, str]) -> None:
    write(project, server_table())
    pid = pid_of(run("up", "--json"))
    shutil.rmtree(Path(environ["XDG_RUNTIME_DIR"], "hostler"))
    eventually(lambda: run("ps").returncode == 0)
    assert pid_of(run("up", "--json")) == pid


def test_the_socket_may_be_elsewhere(project: Path, run: Run, environ: dict[str, str]) -> None:
    write(project, server_table())
    path = Path(environ["XDG_RUNTIME_DIR"], "own", "x.sock")
    assert run("up", "--socket", str(path)).returncode == 0
    assert stat.S_ISSOCK(path.stat().st_mode)
    assert servers(run)["fake"]["state"] == "running"
    another = run("ps", "--socket", f"{path}.old")
    assert (another.returncode, another.stderr.splitlines()[1:]) == (
        5,
        [f"  what to do: leave out --socket: it listens on {path}"],
    )


def test_what_cannot_be_loaded_to_answer_is_told_and_stands_in_the_log(
    project: Path, run: Run, environ: dict[str, str], tmp_path: Path
) -> None:
    write(project, TASK)
    (tmp_path / "broken").mkdir()
    for module in ("aiohttp", "ssl"):
        (tmp_path / "broken" / f"{module}.py").write_text("raise ImportError('half installed')")
    # A task that is completed at once is reported without HTTP.
    assert run("up", env=environ | {"PYTHONPATH": str(tmp_path / "broken")}).returncode == 0
    pid = int(json.loads(run("ps", "--all", "--json").stdout)["daemons"][0]["pid"])
    for command in ("ps", "down"):
        refused = run(command)
        assert refused.returncode == 5
        assert refused.stderr == (
            "hostler cannot answer; its log has the reason\n"
            f"  what to do: kill {pid} stops its servers and ends it\n"
        )
    (log,) = (tmp_path / "data").rglob("daemon.log")
    assert "ImportError: half installed" in log.read_text()
    os.kill(pid, signal.SIGTERM)
    eventually(lambda: run("ps").returncode == 3)


def test_ps_prints_the_bytes_of_the_api(project: Path, run: Run) -> None:
    write(project, server_table())
    path = json.loads(run("up", "--no-start", "--json").stdout)["socket"]
    body = request(path, "GET", "/v1/servers", timeout=20).body
    assert run("ps", "--json").stdout.encode() == body + b"\n"


def test_it_ends_when_nothing_has_run_for_long_enough(project: Path, run: Run) -> None:
    write(project, TASK)
    pid = pid_of(run("up", "--json", "--idle-exit", "1s"))
    eventually(lambda: not psutil.pid_exists(pid))  # a client that looks would keep it
    assert run("ps").returncode == 3


def test_its_log_is_private_and_in_the_data_folder(project: Path, run: Run, tmp_path: Path) -> None:
    write(project, server_table())
    run("up")
    (log,) = (tmp_path / "data").rglob("daemon.log")
    assert stat.S_IMODE(log.stat().st_mode) == 0o600
    assert "fake: waiting_ready -> running" in log.read_text()


def test_its_log_is_rotated_while_it_runs(project: Path, run: Run, tmp_path: Path) -> None:
    write(project, server_table())
    run("up")
    (log,) = (tmp_path / "data").rglob("daemon.log")
    with log.open("ab") as file:
        file.write(b"x" * LARGEST + b"\n")
    run("stop", "fake")
    run("start", "fake")
    assert sorted(path.name for path in log.parent.glob("daemon.log*")) == ["daemon.log", "daemon.log.1"]
    assert log.with_name("daemon.log.1").stat().st_size > LARGEST
    assert "fake: waiting_ready -> running" in log.read_text()
    assert stat.S_IMODE(log.stat().st_mode) == 0o600


def test_an_unknown_server_is_told_with_those_there_are(project: Path, run: Run) -> None:
    write(project, server_table())
    run("up", "--no-start")
    for words in (("ps", "wbe"), ("start", "wbe"), ("wait", "wbe"), ("url", "wbe")):
        done = run(*words)
        assert (done.returncode, done.stderr) == (2, "there is no server 'wbe'; there are: fake\n")


def test_a_command_runs_with_the_url_of_a_server(project: Path, run: Run) -> None:
    write(project, server_table())
    run("up")
    url = servers(run)["fake"]["url"]
    program = "import os, sys; print(os.environ['HOSTLER_URL']); sys.exit(7)"
    done = run("exec", "fake", "--", sys.executable, "-c", program)
    assert (done.returncode, done.stdout) == (7, f"{url}\n")
    pipe = run("exec", "fake", "--", "sh", "-c", "yes | head -n 1")
    assert (pipe.returncode, pipe.stdout, pipe.stderr) == (0, "y\n", "")
    assert run("exec", "fake", "--", "/nowhere").returncode == 127
    assert run("exec", "fake", "--", str(project)).returncode == 126
    assert run("exec", "other", "--", "true").returncode == 125


def test_events_are_shown_and_followed(project: Path, run: Run, start: Start) -> None:
    write(project, server_table(), server_table(name="other", autostart="false"))
    run("up")
    done = run("events", "fake", "--kind", "state", "--json")
    shown = [json.loads(line) for line in done.stdout.splitlines()]
    assert [event["state"] for event in shown] == ["starting", "waiting_ready", "running"]
    assert (
        run("events", "--server", "fake", "--kind", "state", "--json", "--since", "1h").stdout == done.stdout
    )
    last = run("events", "--kind", "state", "--json", "--since", shown[-1]["time"]).stdout
    assert json.loads(last) == shown[-1]
    assert run("events", "other").stdout == ""
    unknown = run("events", "--server", "fkae")
    assert (unknown.returncode, unknown.stdout) == (2, "")
    assert "there is no server 'fkae'; there are: fake, other" in unknown.stderr
    following = start("events", "-f", "--kind", "state")
    following.wait_for("state=running")
    run("stop", "fake")
    following.wait_for("state=stopped")
    run("down")
    assert following.process.wait(20) == 0


def test_a_client_command_imports_little(project: Path, environ: dict[str, str]) -> None:
    write(project, server_table())
    heavy = {
        "click",
        "anyio",
        "asyncio",
        "aiohttp",
        "msgspec",
        "http.client",
        "psutil",
        "pathlib",
        "dataclasses",
        "compile",  # of annotations, by typing: the first takes a tenth of a call
    }
    calls = (["up", "--no-start"], ["ps"], ["wait", "--for", "stopped"])
    program = f"""
import sys
from contextlib import suppress
from hostler.cli import main
def look(event, given):
    if event == "compile" and given[1] == "<string>" and not given[0].startswith(b"lambda _cls"):
        print(event)
sys.addaudithook(look)
for words in {calls}:
    with suppress(SystemExit):
        main(words)
"""
    env = without_coverage(environ)
    argv = [sys.executable, "-c", f"{program}print(*sys.modules)"]
    done = subprocess.run(argv, capture_output=True, text=True, check=True, env=env, cwd=project)
    assert "fake  stopped" in done.stdout
    loaded = set(done.stdout.split())
    assert loaded & heavy == set()
    assert not {name for name in loaded if name.startswith(("hostler.engine", "hostler.config"))}
