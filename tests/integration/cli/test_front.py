"""The terminal belongs to the command of `hostler run -- CMD`: Ctrl-C and Ctrl-Z are for it."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from hostler_process import HOSTLER, Configure, Terminal, server_table

OpenTerminal = Callable[..., Terminal]
CTRL_C, CTRL_D, CTRL_Z = b"\x03", b"\x04", b"\x1a"
PYTHON = [sys.executable, "-q", "-i", "-c", "import sys; sys.ps1 = 'py' + '> '"]


@pytest.fixture
def terminal(configure: Configure, tmp_path: Path, environ: dict[str, str]) -> OpenTerminal:
    """Opens a terminal in a folder with one server."""
    configure()
    environ |= {"PS1": "$ ", "INPUTRC": "/dev/null", "PYTHON_BASIC_REPL": "1"}
    return lambda *words, **how: Terminal(tmp_path, environ, *words, **how)


@pytest.mark.parametrize(
    ("command", "prompt", "busy", "ask"),
    [
        (PYTHON, "py> ", rb"""exec("print('run' + 'ning')\nwhile 1: pass")""", b"6 * 7"),
        (["bash", "--norc", "-i"], "$ ", b"echo run''ning; while :; do :; done", b"echo $((6 * 7))"),
    ],
    ids=["python", "bash"],
)
def test_ctrl_c_at_a_prompt_is_the_programs_and_the_servers_run_on(
    terminal: OpenTerminal, command: list[str], prompt: str, busy: bytes, ask: bytes
) -> None:
    shown = terminal("run", "--", *command)
    shown.read_until(prompt)
    shown.press(busy + b"\n")
    shown.read_until("running")
    shown.text = ""
    shown.press(CTRL_C)
    shown.read_until(prompt)
    shown.press(b"\n" + ask + b"\n")
    shown.read_until("42")
    assert "stop" not in shown.text.lower()

    shown.press(b"exit()\n" if "py" in prompt else b"exit 0\n")
    assert shown.end() == 0
    assert "fake server stopped" in shown.text


def test_a_command_that_ctrl_c_ends_is_130_and_so_the_servers_are_stopped(terminal: OpenTerminal) -> None:
    shown = terminal("run", "--", "sh", "-c", "echo waiting; exec sleep 60")
    shown.read_until("waiting")
    shown.press(CTRL_C)

    assert shown.end() == 128 + signal.SIGINT
    assert "fake server stopped" in shown.text


BUSY = """
import asyncio, time
from dataclasses import dataclass
from hostler import hookimpl

@dataclass(eq=False)
class Busy:
    @hookimpl
    async def on_ready(self, server):
        self.task = asyncio.create_task(self.work())

    async def work(self):
        for _ in range(12):
            time.sleep(0.15)
            await asyncio.sleep(0)
"""


@pytest.fixture
def busy(terminal: OpenTerminal, configure: Configure, tmp_path: Path) -> OpenTerminal:
    """Opens a terminal where the command runs for a while before hostler can give it the terminal."""
    (tmp_path / "busy.py").write_text(BUSY)
    configure(text=server_table() + "busy = { use = 'busy.py:Busy' }\n")
    return terminal


def test_a_ctrl_c_before_the_command_has_the_terminal_is_the_commands_too(busy: OpenTerminal) -> None:
    shown = busy("run", "--", "sh", "-c", "trap 'exit 4' INT; echo waiting; while :; do sleep 0.05; done")
    shown.read_until("waiting")
    shown.press(CTRL_C)

    assert shown.end() == 4
    assert "fake server stopped" in shown.text


def test_a_second_signal_while_the_command_is_started_kills_it(busy: OpenTerminal) -> None:
    shown = busy("run", "--", "sh", "-c", "trap '' INT TERM; echo waiting; while :; do sleep 0.05; done")
    shown.read_until("waiting")
    os.kill(shown.pid, signal.SIGINT)
    os.kill(shown.pid, signal.SIGTERM)

    assert shown.end() == 128 + signal.SIGKILL


SCRIPT = "{} run -- sh -c 'echo waiting; exec sleep 60'; echo the script goes on"


def test_a_script_around_it_is_ended_by_that_ctrl_c_too(terminal: OpenTerminal) -> None:
    shown = terminal("-c", SCRIPT.format(" ".join(HOSTLER)), program=["/bin/dash"])
    shown.read_until("waiting")
    shown.press(CTRL_C)

    assert shown.end() == -signal.SIGINT
    assert "the script goes on" not in shown.text
    assert "fake server stopped" in shown.text


def test_ctrl_z_stops_it_as_a_job_of_the_shell_and_fg_goes_on(terminal: OpenTerminal) -> None:
    shown = terminal("--norc", "-i", program=["/bin/bash"])
    shown.read_until("$ ")
    shown.press(
        " ".join([*HOSTLER, "run", "--", "python3", "-c", "'while 1: print(input()*2)'"]).encode() + b"\n"
    )
    shown.read_until("started on port")
    shown.press(b"ab\n")
    shown.read_until("abab")
    shown.press(CTRL_Z)
    shown.read_until("Stopped")
    shown.press(b"echo from-$((1 + 1))\n")
    shown.read_until("from-2")
    shown.press(b"fg\n")
    shown.press(b"cd\n")
    shown.read_until("cdcd")
    shown.press(CTRL_C)
    shown.read_until("fake server stopped")
    shown.press(b"echo code-$?\n")
    shown.read_until("code-130")
    shown.press(b"exit\n")
    shown.end()


def test_where_nobody_could_wake_it_up_ctrl_z_does_not_stop_it(terminal: OpenTerminal) -> None:
    shown = terminal("run", "--", "sh", "-c", "echo reading; exec cat")
    shown.read_until("reading")
    shown.press(b"one\n")
    shown.read_until("one\r\none")
    shown.press(CTRL_Z)
    shown.press(b"two\n")
    shown.read_until("two\r\ntwo")
    shown.press(CTRL_D)
    assert shown.end() == 0
