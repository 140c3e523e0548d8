"""What a server reads from: nothing, a pipe that stays open, or what hostler reads."""

from __future__ import annotations

import signal
from pathlib import Path

from hostler_process import Configure, Run, Start, Terminal

READER = """
[servers.reader]
command = ["sh", "-c", "read line && echo read: $line; read line || echo nothing more; exec sleep 60"]
port = false
stdin = "{}"
stdout = "inherit"
"""

WATCHER = """
[servers.watcher]
command = ["sh", "-c", "echo watching; sleep 0.3; cat && echo stdin was closed"]
port = false
plugins = {{ log-ready = {{ pattern = "{}" }} }}
"""


def test_a_program_that_ends_with_its_input_lives_on_an_open_one(
    configure: Configure, run: Run, start: Start
) -> None:
    for word, code in (("never", 1), ("watching", 0)):  # before it is ready, and as if its work were done
        configure(text=WATCHER.format(word) + "restart = { start_retries = 0 }\n")
        done = run("run")
        assert done.returncode == code
        assert 'set stdin = "open"' in done.stdout + done.stderr

    configure(text=WATCHER.format("watching") + "stdin = 'open'\n")
    hostler = start("run", "--debug")
    hostler.wait_for("watcher server started")
    hostler.send(signal.SIGTERM)
    assert hostler.end() == 0
    assert "watcher stdout: stdin was closed" not in hostler.stdout


def test_one_server_reads_what_hostler_reads(configure: Configure, start: Start, tmp_path: Path) -> None:
    configure(text=READER.format("inherit"))
    (tmp_path / "input").write_text("one\n")
    with (tmp_path / "input").open() as given:
        hostler = start("run", stdin=given)
    hostler.wait_for("read: one")
    hostler.wait_for("nothing more")


def test_at_a_terminal_it_reads_what_is_typed_and_ctrl_c_is_hostlers(
    configure: Configure, tmp_path: Path, environ: dict[str, str]
) -> None:
    configure(text=READER.format("inherit"))
    terminal = Terminal(tmp_path, environ, "run")
    terminal.read_until("reader server started")
    terminal.press(b"typed\n")
    terminal.read_until("read: typed")
    terminal.press(b"\x03")

    assert terminal.end() == 0
    assert "reader server stopped" in terminal.text


def test_a_server_and_a_command_cannot_both_read_it(configure: Configure, run: Run) -> None:
    configure(text=READER.format("inherit"))
    done = run("run", "--", "cat")

    assert done.returncode == 2
    assert 'reader (stdin = "inherit") and cat cannot read the same input' in done.stderr
