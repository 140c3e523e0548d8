"""Nothing that a configuration, a server or a plugin says reaches a terminal as an order, by any command."""

from __future__ import annotations

import json
import signal
import sys
from pathlib import Path

import pytest
from hostler.config.load import load
from hostler_process import Run, Start

NASTY = "\u202eevil\u2066 \x1b[2J\x1b]0;t\x07 \x9b31m \u061c\u2028 end"
IN_TOML = "".join(one if one.isalnum() or one in " [];" else f"\\u{ord(one):04x}" for one in NASTY)
BAD = """
from dataclasses import dataclass
from hostler import hookimpl

@dataclass(eq=False)
class Bad:
    \"\"\"Plays with \x1b[2J the terminal.\"\"\"

    def check(self, spec, launch):
        yield f"it says {spec.title}"

    @hookimpl
    async def on_ready(self, server):
        raise ValueError(server.spec.title)
"""
MISTAKES = f"""
[servers.web]
command = ["true", 5]
"{IN_TOML}" = 1
port = "{IN_TOML}"
cwd = "{IN_TOML}"
plugins."{IN_TOML}" = true
"""


def orders(text: str) -> list[str]:
    """The characters that a terminal would obey."""
    return [hex(ord(one)) for one in text if not one.isprintable() and one not in "\n\t "]


def nasty(folder: Path) -> Path:
    """A configuration that starts, and is nasty wherever a text may stand."""
    (folder / "bad.py").write_text(BAD)
    code = f"import os, time; os.write(1, {NASTY.encode()!r} + b'\\n'); time.sleep(60)"
    file = folder / "hostler.toml"
    file.write_text(
        f"""
[servers.fake]
title = "{IN_TOML}"
command = {json.dumps([sys.executable, "-c", code])[:-1]}, "{IN_TOML}"]
port = false
env = {{ NASTY = "{IN_TOML}" }}
plugins.bad.use = "bad.py:Bad"
"""
    )
    return file


@pytest.mark.parametrize("options", [(), ("--debug",), ("--json", "--debug")], ids=" ".join)
def test_a_run_orders_nothing(start: Start, tmp_path: Path, options: tuple[str, ...]) -> None:
    nasty(tmp_path)
    hostler = start("run", *options)
    hostler.wait_for("on_ready")
    hostler.send(signal.SIGINT)
    assert hostler.end() == 0
    told = "\n".join([*hostler.stdout, *hostler.stderr])
    assert orders(told) == []
    assert "end" in told


def test_no_command_orders_anything(run: Run, tmp_path: Path) -> None:
    nasty(tmp_path)

    for words in (["check"], ["show"], ["show", "--origin"], ["explain"], ["plugins", "check", "bad.py:Bad"]):
        done = run(*words)
        assert orders(done.stdout + done.stderr) == [], words

    assert "evil" in run("check").stderr

    (tmp_path / "hostler.toml").write_text(MISTAKES)
    done = run("check")
    assert done.returncode == 2
    assert done.stderr.count("evil") >= 3
    assert orders(done.stderr) == []


@pytest.mark.parametrize("encoding", ["utf-8", "ascii"])
def test_crashes_order_nothing_in_any_locale(
    run: Run, environ: dict[str, str], tmp_path: Path, encoding: str
) -> None:
    code = f"import os, sys; os.write(2, {NASTY.encode()!r} + b'\\n'); sys.exit(3)"
    (tmp_path / "hostler.toml").write_text(
        f"[servers.fake]\ncommand = {json.dumps([sys.executable, '-c', code])}\nport = false\n"
        "restart = { start_retries = 0, max_restarts = 0 }\n"
    )
    assert run("run").returncode != 0
    for words in (["crashes", "--last"], ["explain"]):
        done = run(*words, env=environ | {"PYTHONIOENCODING": encoding}, encoding="utf-8")
        assert "end" in done.stdout
        assert orders(done.stdout + done.stderr) == [], words


def test_what_show_writes_is_escaped_and_means_the_same(run: Run, tmp_path: Path) -> None:
    file = nasty(tmp_path)
    written = tmp_path / "written.toml"
    written.write_text(run("show").stdout)
    web, again = load(file).servers["fake"], load(written).servers["fake"]
    assert (again.title, again.command, again.env) == (web.title, web.command, web.env)
    assert again.title == NASTY


def test_json_holds_what_was_said_as_escapes(start: Start, tmp_path: Path) -> None:
    nasty(tmp_path)
    hostler = start("run", "--json", "--debug")
    line = hostler.wait_for('"event": "line"')
    assert json.loads(line)["text"] == NASTY
    hostler.send(signal.SIGINT)
    hostler.end()
