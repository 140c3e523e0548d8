"""Logs and messages: nothing is lost, nothing secret is shown, people and programs are told what happens."""

from __future__ import annotations

import asyncio
import os
import pty
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from cli_project import NOTHING, QUICK, Project, eventually, five_plugins
from hostler import Event, MemorySampled

SECRET = "sk-acceptance-0123456789abcdef"
CODES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


def numbered_lines(world: Project, name: str) -> list[int]:
    """The numbers of the flood's lines in the log file and its older ones, oldest first."""
    (folder,) = {path.parent for path in world.directories.data.rglob(f"{name}*")}
    files = [*sorted(folder.glob(f"{name}.*"), key=lambda path: -int(path.suffix[1:])), folder / name]
    text = "".join(path.read_text() for path in files)
    return [int(number) for number in re.findall(r"^line (\d{10}) x+$", text, re.MULTILINE)]


@pytest.mark.requirement("R30")
async def test_rotation_by_size_loses_no_line(world: Project) -> None:
    plugins = five_plugins(log_rotation={"path": "fake.log", "max_size": "1 MiB", "keep": 10})
    file = world.fake("--flood", "5000000", plugins=plugins)
    async with world.supervisor(file) as supervisor:
        await supervisor["fake"].wait_ready(30)

        await asyncio.to_thread(eventually, lambda: len(numbered_lines(world, "fake.log")) == 50000, 20)

    assert numbered_lines(world, "fake.log") == list(range(50000))
    logs = list(world.directories.data.rglob("fake.log*"))
    assert len(logs) == 5
    assert max(path.stat().st_size for path in logs) <= 2**20 + 65536
    assert {oct(path.stat().st_mode & 0o777) for path in logs} == {"0o600"}


def on_a_terminal(world: Project, file: Path) -> str:
    """What `hostler run` shows at a terminal, up to the end after a Ctrl-C."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "hostler.cli", "run", str(file)],
        cwd=world.project,
        env=world.environ | {"TERM": "xterm", "COLUMNS": "120"},
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
    )
    os.close(theirs)
    shown = b""
    try:
        while piece := os.read(ours, 65536):
            if b"started on port" in shown + piece and b"started on port" not in shown:
                process.send_signal(signal.SIGINT)
            shown += piece
    except OSError:  # what Linux says when the other side is closed
        pass
    finally:
        os.close(ours)
        assert process.wait(20) == 0

    return shown.decode()


@pytest.mark.requirement("R31")
def test_a_terminal_shows_a_spinner_while_the_server_starts(world: Project) -> None:
    shown = on_a_terminal(world, world.fake("--announce-delay", "0.5"))
    assert re.search("[\u2800-\u28ff]", shown)
    assert "Starting OpenCode server..." in shown
    assert CODES.search(shown)
    plain = CODES.sub("", shown)
    assert re.search(
        r"OpenCode server started on port \d+: http://127\.0\.0\.1:\d+ \(pid \d+, \d+\.\d s\)", plain
    )
    assert "Shutting down OpenCode server..." in plain
    assert world.what_is_left() == NOTHING


@pytest.mark.requirement("R31", "R32")
def test_plain_lines_are_shown_elsewhere(world: Project) -> None:
    file = world.fake(title="OpenCode")
    command = world.hostler("run", file)
    command.line("started")
    assert command.stop(signal.SIGINT) == 0
    assert command.err == []
    text = "\n".join(command.out)
    assert CODES.search(text) is None
    assert "Starting OpenCode server..." in command.out
    where = r"on port (\d+): http://127\.0\.0\.1:\1 \(pid \d+, \d+\.\d s\)"
    assert re.search(rf"^OpenCode server started {where}$", text, re.MULTILINE)
    assert command.out[-2:] == ["Shutting down OpenCode server...", "OpenCode server stopped"]


@pytest.mark.requirement("R33")
async def test_memory_is_told_at_an_interval_and_the_rest_is_known(world: Project) -> None:
    events: list[Event] = []
    file = world.fake("--allocate", "50000000", memory_interval="100ms")
    began = time.monotonic()

    def samples() -> list[MemorySampled]:
        return [event for event in events if isinstance(event, MemorySampled)]

    async with world.supervisor(file, events) as supervisor:
        server = supervisor["fake"]
        await server.wait_ready(20)

        await asyncio.to_thread(eventually, lambda: len(samples()) >= 3)
        assert server.memory > 50_000_000
        assert 0 < server.uptime <= time.monotonic() - began
        assert (server.event_count, server.restarts) == (1, 0)
        assert server.pid is not None
        os.kill(server.pid, signal.SIGKILL)
        await server.wait_ready(20)
        assert (server.event_count, server.restarts) == (2, 1)

    assert samples()[2].uptime - samples()[0].uptime < 1
    assert all(event.rss > 50_000_000 and event.processes == 1 for event in samples())
    assert samples()[1].uptime > samples()[0].uptime


@pytest.mark.requirement("R33")
def test_the_command_line_tells_the_memory_too(world: Project) -> None:
    command = world.hostler("run", world.fake(memory_interval="100ms"))
    command.line(r"uses \d+ MiB in 1 process after")
    assert command.stop(signal.SIGTERM) == 0


@pytest.mark.requirement("R34", "R35")
def test_debug_shows_all_output_and_the_environment_without_secrets(world: Project) -> None:
    plugins = five_plugins(env_sanitizer={"allow": ["MY_API_KEY"]})
    file = world.fake(
        "--print", "on stdout", "--print-error", "on stderr", plugins=plugins, env={"OWN": "value"}
    )
    command = world.hostler("run", file, "--debug", MY_API_KEY=SECRET)
    command.line("^fake stdout: on stdout$")  # and not the command line that is shown as well
    command.line("^fake stderr: on stderr$")
    command.line("started on port")
    assert command.stop(signal.SIGTERM) == 0
    text = "\n".join([*command.out, *command.err])
    assert "    OWN=value" in text
    assert "    MY_API_KEY=********" in text
    assert "    OPENCODE_SERVER_PASSWORD=********" in text
    assert SECRET not in text


@pytest.mark.requirement("R34")
def test_every_event_of_the_stream_can_be_logged(world: Project) -> None:
    plugins = five_plugins(sse_health={"log_events": True})
    command = world.hostler("run", world.fake("--events", "burst", "5", plugins=plugins), "--json")
    told = [command.event(event="notice", topic="stream_event")["text"] for _ in range(5)]
    assert "server.connected" in told[0]
    assert command.stop(signal.SIGTERM) == 0


@pytest.mark.requirement("R35")
@pytest.mark.parametrize("flags", [("--debug",), ("--debug", "--json")], ids=" ".join)
def test_secrets_reach_no_log(flags: tuple[str, ...], world: Project) -> None:
    plugins = five_plugins(env_sanitizer={"allow": ["MY_API_KEY"]})
    switches = ("--print-env", "MY_API_KEY", "OPENCODE_SERVER_PASSWORD", "--print-secret-split", "MY_API_KEY")
    file = world.fake(
        *switches, "--crash-when-ready", "0.2", plugins=plugins, restart={**QUICK, "max_restarts": 1}
    )
    command = world.hostler("run", file, *flags, MY_API_KEY=SECRET)
    assert command.end() == 1
    everything = "\n".join([*command.out, *command.err, *(path.read_text() for path in world.written())])
    assert "the password is ********" in everything
    assert "OPENCODE_SERVER_PASSWORD=********" in everything
    assert SECRET not in everything


@pytest.mark.requirement("R30")
async def test_a_log_outlives_its_server_and_is_written_on_by_the_next(world: Project) -> None:
    file = world.fake("--print", "hello", "--print-error", "on stderr")
    for _ in range(2):
        async with world.supervisor(file) as supervisor:
            await supervisor["fake"].wait_ready(20)
    assert world.logged().count("hello") == 2
    assert world.logged().count("on stderr") == 2
