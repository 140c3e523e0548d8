"""Calls of the client commands: what they take, and what they say where no hostler is."""

from __future__ import annotations

import json
from pathlib import Path

import click
import pytest
from hostler.cli import CLIENT_NAMES, LOCAL_NAMES, main
from hostler.cli.client.commands import CLIENT_COMMANDS
from hostler.cli.client.main import call
from hostler.cli.command_line import read_call
from hostler.cli.commands import group
from hostler.cli.local_commands import LOCAL_COMMANDS
from hostler_process import Run, server_table


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a configuration that nobody supervises."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_STATE_HOME", "/tmp/hostler-none")
    (tmp_path / "hostler.toml").write_text(server_table())
    return tmp_path


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("ps --al", "no such option: --al; did you mean --all?"),
        ("up --log-format xml", "--log-format takes text, json, found 'xml'"),
        ("wait --timeout", "--timeout takes a value: --timeout DURATION"),
        ("ps --json=yes", "--json takes no value"),
        ("wait --for redy", "--for takes ready, healthy, stopped, completed, idle, found 'redy'"),
        ("wait --timeout 5", 'expected a duration with a unit (ms, s, m, h, d), such as "500ms" or "30s"'),
        ("url", "name one server"),
    ],
)
def test_a_wrong_call_is_told_with_what_is_allowed(
    words: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    name, *rest = words.split()
    assert call(name, rest) == 2
    told = capsys.readouterr().err
    assert message in told
    assert told.startswith(f"Usage: hostler {name}")
    assert call(name, ["--json", *rest]) == 2
    assert message in json.loads(capsys.readouterr().out)["problem"]["detail"]


def test_options_stand_anywhere_and_may_repeat() -> None:
    arguments = read_call(
        CLIENT_COMMANDS["up"], ["--set", "a=1", "x.toml", "--set=b=2", "web", "--timeout=30s", "--no-wait"]
    )
    assert (arguments.file, arguments.names) == ("x.toml", ("web",))
    assert arguments.texts("set") == ["a=1", "b=2"]
    assert (arguments.seconds("timeout", 300.0), arguments.has("no-wait")) == (30.0, True)
    assert read_call(CLIENT_COMMANDS["up"], ["--timeout", "0"]).seconds("timeout", 300.0) is None
    assert read_call(CLIENT_COMMANDS["up"], []).seconds("timeout", 300.0) == 300.0


def test_two_dashes_end_the_options_or_begin_a_command() -> None:
    behind = ["x.toml", "--", "-web"]
    up, run = read_call(CLIENT_COMMANDS["up"], behind), read_call(LOCAL_COMMANDS["run"], behind)
    assert (up.file, up.names, up.command) == ("x.toml", ("-web",), None)
    assert (run.file, run.names, run.command) == ("x.toml", (), ["-web"])


@pytest.mark.parametrize("words", ["ps", "start --all", "restart --all", "wait", "url fake", "stop fake"])
def test_without_a_hostler_each_says_how_to_start_one(words: str, capsys: pytest.CaptureFixture[str]) -> None:
    name, *rest = words.split()
    assert call(name, rest) == 3
    assert capsys.readouterr().err == (
        "no hostler supervises hostler.toml now\n  what to do: start one: hostler up\n"
    )
    assert call(name, [*rest, "--json"]) == 3
    assert json.loads(capsys.readouterr().out)["problem"]["type"] == "/problems/not_running"


def test_each_is_dispatched_before_click_and_in_its_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert tuple(CLIENT_COMMANDS) == CLIENT_NAMES
    assert tuple(LOCAL_COMMANDS) == LOCAL_NAMES
    for words in (["--help"], ["up", "--help"], ["run", "--help"]):
        with pytest.raises(SystemExit):
            main(words)
    told = capsys.readouterr().out
    assert all(f"\n  {name} " in told for name in CLIENT_NAMES)
    assert "--idle-exit DURATION" in told
    assert "--output [prefixed|none]" in told
    assert "--background" not in told


def test_through_click_a_call_is_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    context = click.Context(group)
    command = group.get_command(context, "up")
    assert command is not None
    with pytest.raises(SystemExit) as ended:
        command.main(["none.toml", "--set", "a=1", "--set", "b=2", "--no-wait"])
    assert ended.value.code == 2
    assert "there is no file none.toml" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["up", "ps"])
def test_a_file_that_is_not_there_is_told(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(name, ["none.toml"]) == 2
    assert capsys.readouterr().err.startswith("there is no file none.toml\n  what to do: name another one; ")


def test_a_socket_that_could_not_be_reached_is_told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", f"/tmp/{'x' * 100}")
    assert call("ps", []) == 3
    assert "which is too long; set XDG_RUNTIME_DIR to a short one" in capsys.readouterr().err


def test_what_the_encoding_of_a_terminal_does_not_have_is_escaped(run: Run, environ: dict[str, str]) -> None:
    done = run("down", "b\u00fccher.toml", env=environ | {"PYTHONIOENCODING": "ascii"})
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "no hostler supervises b\\xfccher.toml\n"
