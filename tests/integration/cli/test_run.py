"""`hostler run`: what it says, how it ends."""

from __future__ import annotations

import os
import re
import resource
import shutil
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import psutil
import pytest
from cli_project import eventually
from controlled import short_folder
from hostler.process.spawn.privileges import limit_prefix
from hostler_process import Configure, Run, Start, server_table

FLOOD = """
import os, signal
from dataclasses import dataclass
from hostler import hookimpl

@dataclass(eq=False)
class Flood:
    "As if a thousand children had ended in one moment."

    @hookimpl
    async def on_ready(self, server):
        for number in [*[signal.SIGCHLD] * 1000, signal.SIGTERM]:
            os.kill(os.getpid(), number)
"""
UNBIND = """
import os, signal
from dataclasses import dataclass
from pathlib import Path
import anyio
from hostler import hookimpl

@dataclass(eq=False)
class Flood:
    "As if a thousand children had ended in one moment, and then a client asks for the socket."

    @hookimpl
    async def on_ready(self, server):
        folder = Path(os.environ["XDG_RUNTIME_DIR"], "hostler")
        while not (found := list(folder.glob("*.sock"))):
            await anyio.sleep(0.01)
        found[0].rename("old.sock")
        for number in [*[signal.SIGCHLD] * 1000, signal.SIGUSR1]:
            os.kill(os.getpid(), number)
"""
STOPPING = ["Shutting down fake server...", "fake server stopped"]


@pytest.mark.parametrize("limit", [8, 10, 11, 12, 13, 14])
def test_a_limit_of_descriptors_is_named_and_no_other(configure: Configure, run: Run, limit: int) -> None:
    configure(text="[servers.w]\ncommand = ['sleep', '9']\nport = false\nrestart = { start_retries = 0 }\n")
    done = run("run", preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit)))
    assert done.returncode == 1
    assert "w server not started: " in done.stderr
    assert "ulimit -n" in done.stderr
    assert "ulimit -u" not in done.stdout + done.stderr


@pytest.mark.skipif(not limit_prefix("--nofile"), reason="there is no prlimit")
def test_hostler_has_as_many_descriptors_as_it_may_and_what_it_starts_keeps_the_soft_limit(
    configure: Configure, run: Run
) -> None:
    command = "command = ['sh', '-c', 'ulimit -Sn; exec sleep 60']\nport = false\nstartup_timeout = '20s'\n"
    ready = "plugins = { log-ready = { pattern = '^40$' } }\n"
    configure(text="".join(f"[servers.w{number}]\n{command}{ready}" for number in range(12)))
    words = ("run", "--", "sh", "-c", "ulimit -Sn; ulimit -Hn; grep 'open files' /proc/$PPID/limits")
    done = run(*words, preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (40, 200)))
    assert done.returncode == 0, done.stderr
    assert re.fullmatch(r"40\n200\nMax open files +200 +200 +files *\n", done.stdout)


@pytest.mark.requirement("R31", "R32")
def test_a_run_says_what_happens_in_plain_lines(configure: Configure, start: Start) -> None:
    configure()
    hostler = start("run")
    started = hostler.wait_for("started on port")
    found = re.fullmatch(
        r"fake server started on port (\d+): http://127\.0\.0\.1:(\d+) \(pid (\d+), \d\.\d s\)", started
    )
    assert found is not None, started
    assert found[1] == found[2]
    assert psutil.pid_exists(int(found[3]))
    hostler.send(signal.SIGINT)
    assert hostler.end() == 0
    announced = f"fake | fake server listening on http://127.0.0.1:{found[1]}"
    assert hostler.stdout == ["Starting fake server...", announced, started, *STOPPING]
    assert hostler.stderr == []
    assert not psutil.pid_exists(int(found[3]))


@pytest.mark.requirement("R4")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_each_stopping_signal_leaves_nothing(
    configure: Configure, start: Start, marked: Callable[[str], list[int]], tmp_path: Path, number: int
) -> None:
    mark = str(tmp_path / "mark")
    configure("--spawn-session-child", "--double-fork-child", "--first", mark)
    hostler = start("run")
    hostler.wait_for("started on port")
    assert len(marked(mark)) == 3
    hostler.send(number)
    assert hostler.end() == 0
    assert marked(mark) == []
    assert [path for path in (tmp_path / "state").rglob("*") if path.is_file()] == []


def test_the_second_signal_kills_a_server_that_does_not_obey(configure: Configure, start: Start) -> None:
    configure("--ignore-term", "--spawn-session-child", "--children-ignore-term", force_kill_timeout='"60s"')
    hostler = start("run")
    hostler.wait_for("started on port")
    hostler.send(signal.SIGINT)
    hostler.wait_for("Shutting down")
    began = time.monotonic()
    hostler.send(signal.SIGINT)
    assert hostler.end() == 0
    assert time.monotonic() - began < 10
    assert "killing what is left" in hostler.stdout


def test_a_sigterm_that_comes_twice_as_timeout_sends_it_cuts_no_stop_short(
    configure: Configure, start: Start
) -> None:
    configure("--term-delay", "1")
    hostler = start("run")
    hostler.wait_for("started on port")
    hostler.send(signal.SIGTERM)
    hostler.wait_for("Shutting down")
    hostler.send(signal.SIGTERM)
    assert hostler.end() == 0
    assert "killing what is left" not in hostler.stdout


def test_a_signal_while_it_starts_stops_it(configure: Configure, start: Start) -> None:
    configure("--announce-delay", "60")
    hostler = start("run")
    hostler.wait_for("Starting")
    hostler.send(signal.SIGTERM)
    assert hostler.end() == 0
    assert hostler.stdout[-1] == "fake server stopped"


def test_a_thousand_exits_at_once_hide_no_sigterm(configure: Configure, run: Run, tmp_path: Path) -> None:
    (tmp_path / "flood.py").write_text(FLOOD)
    configure(text=server_table() + "flood = { use = 'flood.py:Flood' }\n")
    done = run("run")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[-2:] == STOPPING


def test_a_thousand_exits_at_once_hide_no_client_that_asks_for_the_socket(
    configure: Configure, start: Start, environ: dict[str, str], tmp_path: Path
) -> None:
    (tmp_path / "flood.py").write_text(UNBIND)
    configure(text=server_table() + "flood = { use = 'flood.py:Flood' }\n")
    with short_folder() as folder:
        start("run", env=environ | {"XDG_RUNTIME_DIR": str(folder)})
        eventually((tmp_path / "old.sock").exists)
        eventually(lambda: list((folder / "hostler").glob("*.sock")) != [])


def test_an_ignored_hangup_stays_ignored_as_nohup_wants_it(configure: Configure, start: Start) -> None:
    configure()
    hostler = start("run", before=("env", "--ignore-signal=HUP"))
    hostler.wait_for("started on port")
    hostler.send(signal.SIGHUP)
    hostler.send(signal.SIGCONT)

    with pytest.raises(TimeoutError):
        wait_or_raise(hostler.process.pid, 0.5)

    hostler.send(signal.SIGTERM)
    assert hostler.end() == 0


def wait_or_raise(pid: int, seconds: float) -> None:
    try:
        psutil.Process(pid).wait(seconds)
    except psutil.TimeoutExpired as error:
        raise TimeoutError from error


def test_a_server_that_fails_is_exit_code_1_with_its_last_lines(configure: Configure, run: Run) -> None:
    configure("--exit-after", "0", "--exit-code", "7", "--print-error", "no luck today")
    done = run("run")
    assert done.returncode == 1
    assert "fake server crashed: exit code 7" in done.stdout
    assert "fake server failed: it exited unexpectedly before it was ready: exit code 7" in done.stderr
    assert "    no luck today" in done.stderr
    assert "Traceback" not in done.stdout + done.stderr


def test_it_ends_when_all_servers_have_failed_whichever_is_last(configure: Configure, run: Run) -> None:
    tables = [server_table("--exit-after", "0", name="first")]
    tables.append(server_table("--exit-after", "0", "--announce-delay", "0.3", name="second"))
    configure(text="\n".join(tables))
    assert run("run").returncode == 1
    configure(text="\n".join(reversed(tables)))
    assert run("run").returncode == 1


def test_a_crash_is_told_and_the_restart_too(configure: Configure, start: Start) -> None:
    configure()
    hostler = start("run")
    line = hostler.wait_for("started on port")
    pid = int(line.split("pid ")[1].split(",")[0])
    os.kill(pid, signal.SIGKILL)
    hostler.wait_for("fake server crashed: killed by SIGKILL")
    hostler.wait_for("fake server: 1 of 5 restarts used, next try")
    hostler.stdout.clear()
    assert f"port {line.split('port ')[1].split(':')[0]}:" in hostler.wait_for("started on port")
    hostler.send(signal.SIGINT)
    assert hostler.end() == 0


def test_only_the_named_servers_and_what_they_need_are_started(configure: Configure, start: Start) -> None:
    tables = [server_table(name="db"), server_table(name="web", needs='["db"]'), server_table(name="other")]
    file = configure(text="\n".join(tables))
    hostler = start("run", str(file), "web")
    hostler.wait_for("web server started")
    hostler.send(signal.SIGINT)
    assert hostler.end() == 0
    assert [line for line in hostler.stdout if "other" in line] == []
    order = [line for line in hostler.stdout if "stopped" in line]
    assert order == ["web server stopped", "db server stopped"]


def test_quiet_shows_failures_only(configure: Configure, run: Run, start: Start) -> None:
    configure()
    hostler = start("run", "--quiet")
    wait_for_child(hostler.process.pid)
    hostler.send(signal.SIGINT)
    assert hostler.end() == 0
    assert (hostler.stdout, hostler.stderr) == ([], [])

    configure("--exit-after", "0")
    done = run("run", "--quiet")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("fake server failed: ")


def wait_for_child(pid: int) -> None:
    until = time.monotonic() + 10
    while not psutil.Process(pid).children():
        assert time.monotonic() < until
        time.sleep(0.01)


@pytest.mark.requirement("R34")
def test_debug_shows_the_environment_masked_and_every_line(
    configure: Configure, start: Start, environ: dict[str, str]
) -> None:
    secret = "sesame-open-sesame"
    table = server_table(
        "--print-env", "MY_TOKEN", "--print-error", "on stderr", env='{ MY_TOKEN = "${MY_TOKEN}" }'
    )
    configure(text=f"{table}env-sanitizer = {{ allow = ['MY_TOKEN'] }}\n")
    hostler = start("run", "--debug", env=environ | {"MY_TOKEN": secret})
    hostler.wait_for("started on port")
    assert hostler.wait_for("fake | MY_TOKEN") == "fake | MY_TOKEN=********"
    hostler.wait_for("fake | on stderr")
    hostler.send(signal.SIGINT)
    hostler.end()
    assert any(
        re.fullmatch(r"fake server: spawned pid \d+: .*fake_server .*", line) for line in hostler.stdout
    )
    assert "    MY_TOKEN=********" in hostler.stdout
    assert any(line.startswith("    PATH=") for line in hostler.stdout)
    assert secret not in "".join(hostler.stdout + hostler.stderr)


def test_what_a_killed_hostler_left_is_told_by_the_next_one(
    configure: Configure, start: Start, marked: Callable[[str], list[int]], tmp_path: Path
) -> None:
    mark = str(tmp_path / "mark")
    configure("--spawn-session-child", "--children-ignore-term", "--first", mark, name="gone")
    hostler = start("run")
    hostler.wait_for("started on port")
    hostler.process.kill()
    hostler.end()

    configure()
    hostler = start("run")
    hostler.wait_for("started on port")
    assert re.search(
        r"^gone: cleaned up after a killed hostler; processes: \d+",
        "\n".join(hostler.stdout),
        re.MULTILINE,
    )
    assert marked(mark) == []
    hostler.send(signal.SIGINT)
    assert hostler.end() == 0


def test_the_same_server_twice_is_refused(configure: Configure, start: Start, run: Run) -> None:
    configure()
    hostler = start("run")
    hostler.wait_for("started on port")
    done = run("run")
    assert done.returncode == 1
    assert "it is already running" in done.stderr or "already" in done.stderr
    assert str(hostler.process.pid) in done.stderr
    assert "copy the configuration to another folder" in done.stderr
    hostler.send(signal.SIGINT)
    assert hostler.end() == 0


def may_drop_the_power_to_kill() -> bool:
    return os.geteuid() == 0 and shutil.which("setpriv") is not None


@pytest.mark.skipif(not may_drop_the_power_to_kill(), reason="needs root, to give its power up")
def test_a_server_that_cannot_be_stopped_is_told_by_pid_and_is_exit_code_1(
    configure: Configure, start: Start
) -> None:
    configure(
        text='[servers.hard]\ncommand = ["sleep", "60"]\nport = false\nuser = "nobody"\ncwd = "/"\n'
        'force_kill_timeout = "200ms"\n'
    )
    hostler = start("run", before=("setpriv", "--bounding-set", "-kill", "--inh-caps", "-kill"))
    pid = int(hostler.wait_for("hard server started").split("pid ")[1].split(",")[0])
    deadline = time.monotonic() + 10

    while psutil.Process(pid).uids().real == 0:  # as long as it is root's, it can be killed
        assert time.monotonic() < deadline
        time.sleep(0.01)

    try:
        hostler.send(signal.SIGTERM)
        hostler.wait_for(f"may not signal processes of another user (65534): pid {pid}; what to do")
        assert hostler.end() == 1
        assert "hard: hostler may not signal" in "\n".join(hostler.stderr)
        assert "Traceback" not in "\n".join(hostler.stderr)
        assert "hard server stopped" not in hostler.stdout
    finally:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


@pytest.mark.parametrize("watched", [True, False])
def test_a_single_server_whose_start_failed_waits_for_a_change_where_its_files_are_watched(
    configure: Configure, start: Start, tmp_path: Path, watched: bool
) -> None:
    (tmp_path / "app").mkdir()
    program = tmp_path / "app" / "app.sh"
    program.write_text("exit 3")
    plugins = 'plugins = { watch-files = { debounce = "20ms" } }' if watched else ""
    table = '[servers.app]\ncommand = ["sh", "app.sh"]\ncwd = "app"\nport = false'
    configure(text=f"{table}\nrestart = {{ initial_delay = '0s' }}\n{plugins}\n")
    hostler = start("run")

    if not watched:
        assert hostler.end() == 1
        return

    hostler.wait_for("it waits: a change of its files starts it anew")
    hostler.stdout.clear()
    program.write_text("exec sleep 1000")
    hostler.wait_for("app server started")
    hostler.send(signal.SIGTERM)
    assert hostler.end() == 0
