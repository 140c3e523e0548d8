"""`hostler run` and SIGHUP: the file is read anew, and what has changed is restarted."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
from hostler import Change, Changes
from hostler.cli.reload import lines
from hostler_process import HOSTLER, Configure, Hostler, Start, Terminal, server_table

TEMPLATE = f"""
[templates.fake]
parameters = {{ word = {{ required = true }} }}
command = {server_table().split("command = ")[1].splitlines()[0][:-1]}, "--print", "${{parameter.word}}"]
plugins = {{ regex-port = true }}
"""


def pid_in(line: str) -> int:
    return int(line.split("pid ")[1].split(",", maxsplit=1)[0])


def reload(hostler: Hostler, text: str) -> None:
    """Ask for a reload and wait for what it says; what was said before is forgotten."""
    hostler.stdout.clear()
    hostler.send(signal.SIGHUP)
    hostler.wait_for(text)


def test_a_hangup_signal_restarts_only_what_has_changed(configure: Configure, start: Start) -> None:
    same, gone = server_table(name="same"), server_table(name="gone")
    configure(text="\n".join([same, gone, server_table(name="web")]))
    hostler = start("run")
    pids = {name: pid_in(hostler.wait_for(f"{name} server started")) for name in ("same", "gone", "web")}
    configure(text="\n".join([same, server_table(name="web", title='"Site"'), server_table(name="new")]))
    reload(hostler, "new server started")
    hostler.wait_for("Site server web started")
    said = hostler.stdout[: hostler.stdout.index("  unchanged: same") + 1]
    assert said == [
        "reload:",
        "  gone: removed",
        "  web: restarted",
        '    title: "" -> Site',
        "  new: added",
        "  unchanged: same",
    ]
    assert "gone server stopped" in hostler.stdout
    assert psutil.pid_exists(pids["same"])
    assert not psutil.pid_exists(pids["gone"])
    assert not psutil.pid_exists(pids["web"])
    assert [line for line in hostler.stdout if line.startswith("same")] == []
    hostler.send(signal.SIGTERM)
    assert hostler.end() == 0
    assert hostler.stderr == []


def test_a_hangup_signal_tries_again_what_has_failed(
    configure: Configure, start: Start, tmp_path: Path
) -> None:
    mended = tmp_path / "mended"
    script = f'command = ["sh", "-c", "test -e {mended} && exec sleep 1000; exit 3"]'
    again = f"[servers.again]\n{script}\nport = false\nrestart = {{ initial_delay = '0s' }}\n"
    configure(text="\n".join([server_table(name="same"), again]))
    hostler = start("run")
    hostler.wait_for("again server failed")
    hostler.wait_for("same server started")
    mended.touch()
    reload(hostler, "again server started")
    assert hostler.stdout[:3] == ["reload:", "  again: had failed, and is started again", "  unchanged: same"]
    hostler.send(signal.SIGTERM)
    assert hostler.end() == 0


def test_a_wrong_file_changes_nothing_and_its_mistakes_are_told(configure: Configure, start: Start) -> None:
    file = configure()
    right = file.read_text()
    hostler = start("run")
    pid = pid_in(hostler.wait_for("started on port"))
    file.write_text(right.replace("[servers.fake]", "[servers.fake]\nprot = 1\nhots = 'x'"))
    reload(hostler, "reload failed; the running configuration is unchanged")
    assert hostler.stderr[:2] == [
        'hostler.toml:2: servers.fake.prot: unknown key; did you mean "port"?',
        'hostler.toml:3: servers.fake.hots: unknown key; did you mean "host"?',
    ]
    assert hostler.stdout == []
    file.unlink()
    reload(hostler, "there is no such file")
    file.write_text(right)
    reload(hostler, "reload: nothing has changed")
    assert psutil.pid_exists(pid)
    hostler.send(signal.SIGINT)
    assert hostler.end() == 0


def test_a_reload_keeps_to_the_profiles_and_settings_of_the_call(configure: Configure, start: Start) -> None:
    profile = "[profiles.ci.servers.fake]\ntitle = '{}'\n"
    configure(text=server_table() + profile.format("First"))
    hostler = start("run", "--profile", "ci", "--set", 'servers.fake.env={ STAGE = "set" }')
    hostler.wait_for("First server started")
    configure(text=server_table(env="{ STAGE = 'file' }") + profile.format("Second"))
    reload(hostler, "Second server started")
    assert hostler.stdout[:3] == ["reload:", "  fake: restarted", "    title: First -> Second"]
    hostler.send(signal.SIGINT)
    assert hostler.end() == 0


def test_a_server_of_a_template_is_added_with_two_lines(configure: Configure, start: Start) -> None:
    one = "[servers.one]\ntemplate = { use = 'fake', word = 'first' }\n"
    configure(text=TEMPLATE + one)
    hostler = start("run", "--debug")
    hostler.wait_for("| first")
    hostler.wait_for("one server started")
    configure(text=TEMPLATE + one + "[servers.two]\ntemplate = { use = 'fake', word = 'second' }\n")
    reload(hostler, "two | second")  # its lines are shown too
    hostler.wait_for("two server started")
    hostler.send(signal.SIGINT)
    assert hostler.end() == 0


def test_a_reload_starts_only_the_named_servers_and_refuses_to_lose_one(
    configure: Configure, start: Start
) -> None:
    web, other = server_table(name="web"), server_table(name="other")
    configure(text=web)
    hostler = start("run", "hostler.toml", "web")
    hostler.wait_for("web server started")
    configure(text=web + other)
    reload(hostler, "  other: added")
    configure(text=other)
    reload(hostler, "there is no server web any more, named in the call")
    hostler.send(signal.SIGINT)
    assert hostler.end() == 0
    assert [line for line in hostler.stdout if "other server" in line] == []


def test_hangups_that_come_together_are_one_or_two_reloads(configure: Configure, start: Start) -> None:
    configure("--term-delay", "0.3")
    hostler = start("run")
    hostler.wait_for("started on port")
    configure("--term-delay", "0.3", title='"Other"')
    hostler.stdout.clear()

    for _ in range(20):
        hostler.send(signal.SIGHUP)

    hostler.wait_for("Other server started")
    hostler.send(signal.SIGINT)
    assert hostler.end() == 0
    assert 1 <= len([line for line in hostler.stdout if line.startswith("reload:")]) <= 3
    assert len([line for line in hostler.stdout if "started on port" in line]) == 1


def test_a_reload_beside_a_command_does_not_reach_the_command(configure: Configure, start: Start) -> None:
    configure()
    script = "echo waiting; trap 'exit 5' HUP; trap 'exit 3' USR1; while :; do sleep 0.05; done"
    hostler = start("run", "--", "sh", "-c", script, start_new_session=True)
    hostler.wait_for("waiting")
    hostler.send(signal.SIGHUP)
    hostler.wait_for("reload: nothing has changed")
    (child,) = [one for one in psutil.Process(hostler.process.pid).children() if one.name() == "sh"]
    child.send_signal(signal.SIGUSR1)
    assert hostler.end() == 3


TELLS = """
from dataclasses import dataclass
from pathlib import Path
from hostler import hookimpl
@dataclass(eq=False)
class Tells:
    @hookimpl
    async def pre_spawn(self, launch):
        async def what_runs():
            return [] if Path("idle").exists() else ["job"]
        launch.facts["what_runs"] = what_runs
"""


def test_a_busy_server_is_restarted_later_and_a_second_reload_takes_its_place(
    configure: Configure, start: Start, tmp_path: Path
) -> None:
    def configured(stage: str) -> None:
        busy = server_table(name="busy", env=f'{{ STAGE = "{stage}" }}', restart='{ wait_idle = "1m" }')
        configure(text=f'{busy}tells = {{ use = "tells.py:Tells" }}\n{server_table(name="web")}')

    (tmp_path / "tells.py").write_text(TELLS)
    configured("a")
    hostler = start("run")
    for name in ("busy", "web"):
        hostler.wait_for(f"{name} server started")
    for stage in ("b", "c"):
        configured(stage)
        reload(hostler, "its restart waits up to 60 s until nothing runs on it; running: job")
    assert "  busy: restarted when nothing runs on it" in hostler.stdout
    assert "    env.STAGE: a -> c" in hostler.stdout
    hostler.stdout.clear()
    (tmp_path / "idle").touch()
    hostler.wait_for("busy server started")
    hostler.send(signal.SIGINT)
    assert hostler.end() == 0
    assert len([line for line in hostler.stdout if "started" in line]) == 1


def test_what_is_changed_at_rest_is_told_as_such() -> None:
    changes = Changes(unchanged=("a",), changed={"b": (Change("port", "0", "80"),)})
    assert list(lines(changes)) == [
        "reload:",
        "  b: changed, and not running",
        "    port: 0 -> 80",
        "  unchanged: a",
    ]


# -- terminals -----------------------------------------------------------------------------------


@pytest.fixture
def terminal(tmp_path: Path, environ: dict[str, str]) -> Callable[..., Terminal]:
    return lambda *words: Terminal(tmp_path, environ, *words)


def test_a_hangup_signal_with_the_terminal_still_there_reloads(
    configure: Configure, terminal: Callable[..., Terminal]
) -> None:
    configure()
    shown = terminal("run")
    shown.read_until("started on port")
    os.kill(shown.pid, signal.SIGHUP)
    shown.read_until("reload: nothing has changed")
    shown.press(b"\x03")
    assert shown.end() == 0


def test_a_hangup_of_the_terminal_stops_all_in_order(
    configure: Configure, tmp_path: Path, environ: dict[str, str]
) -> None:
    """Its output goes to a file: only the signal tells it."""
    configure()
    to_a_file = "os.dup2(os.open('out', os.O_WRONLY | os.O_CREAT), 1); os.dup2(1, 2)"
    script = f"import os; {to_a_file}; os.execv({HOSTLER[0]!r}, {[*HOSTLER, 'run']!r})"
    shown = Terminal(tmp_path, environ, program=[sys.executable, "-c", script])
    wait_for(lambda: "started on port" in text_of(tmp_path / "out"))
    os.close(shown.fd)
    wait_for(lambda: os.waitpid(shown.pid, os.WNOHANG)[0] != 0)
    assert "fake server stopped" in text_of(tmp_path / "out")
    assert "reload" not in text_of(tmp_path / "out")


def text_of(path: Path) -> str:
    return path.read_text() if path.exists() else ""


def wait_for(condition: Callable[[], bool], seconds: float = 20.0) -> None:
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.01)
