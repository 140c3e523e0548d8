"""Following logs: what is shown of gaps and runs, and when it ends."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import cast

import pytest
from hostler.cli.client import logs
from hostler.cli.client.commands import CLIENT_COMMANDS
from hostler.cli.client.daemon import Daemon, Frame, HostlerEnded
from hostler.cli.client.log_query import LogQuery
from hostler.cli.client.log_view import LogView
from hostler.cli.client.logs import Following
from hostler.cli.client.main import call
from hostler.cli.client.output import Output
from hostler.cli.command_line import read_call
from hostler_process import server_table


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder with a configuration that nobody supervises."""
    monkeypatch.chdir(tmp_path)
    for name in ("STATE", "DATA"):
        monkeypatch.setenv(f"XDG_{name}_HOME", str(tmp_path / name))
    (tmp_path / "hostler.toml").write_text(server_table())


def test_it_ends_when_no_hostler_comes_back(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logs, "_RECONNECT_SECONDS", 0.2)
    assert call("logs", ["-f"]) == 3
    assert capfd.readouterr().err.splitlines() == [
        "no hostler supervises hostler.toml now: this is what its servers have printed before",
        "no hostler supervises hostler.toml now: waiting for one",
    ]


class Told:
    """A hostler that sends these frames and ends; a real gap takes megabytes."""

    def __init__(self, *frames: Frame) -> None:
        self._sent = frames

    def get(self, target: str) -> dict[str, object]:
        assert target == "/v1"
        return {}

    def frames(self, target: str) -> Iterator[list[Frame]]:
        assert target == "/v1/log?after=a%2D1"
        yield list(self._sent)
        raise HostlerEnded


@pytest.mark.parametrize(
    ("word", "shown"),
    [
        (
            "--no-time",
            ["--- web: lines are missing here ---", "--- web: run 2 began (pid 7) ---", "web | hi"],
        ),
        ("--raw", ["--- web: lines are missing here ---", "hi"]),
    ],
)
def test_a_gap_is_shown_as_a_gap_and_a_run_once(
    capsys: pytest.CaptureFixture[str], word: str, shown: list[str]
) -> None:
    arguments, output = read_call(CLIENT_COMMANDS["logs"], ["-f", word]), Output(as_json=False, quiet=False)
    view = LogView(arguments, output, ["web"])
    view.know({"web": (1, 6)})
    run = {"server": "web", "run": 2, "pid": 7}
    line = {**run, "time": None, "stream": None, "text": "hi", "partial": False}
    frames = Frame("gap", "", {"server": "web"}), Frame("run", "", run), Frame("line", "a-9", line)
    Following(arguments, LogQuery(arguments), view, output, "a-1").follow(cast("Daemon", Told(*frames)))
    assert capsys.readouterr().out.splitlines() == shown
