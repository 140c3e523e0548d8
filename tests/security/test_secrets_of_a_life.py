"""Whatever lets a secret out, hostler writes it nowhere: to no file, no terminal, no command line."""

from __future__ import annotations

import signal
import time

import pytest
from cli_project import Project
from leaky_life import ELSEWHERE, Life


# With --debug stands all that is told without it, and the environment; events in JSON are looked at below.
@pytest.mark.requirement("R35")
def test_no_secret_is_written_while_a_server_starts_crashes_is_restarted_and_fails(world: Project) -> None:
    life = Life(world, "--debug", seconds=0.3)
    while life.running.process.poll() is None:
        life.look(f"after {len(life.running.out)} lines")
        time.sleep(0.05)

    assert life.running.end() == 1
    life.look("at the end")
    life.ask("crashes", "explain", "logs", "ps", "events")  # what shows something of lives that are over
    assert "OPENCODE_SERVER_PASSWORD" in life.secrets
    assert life.leaks() == []
    assert any("********" in text for text in life.texts.values())


def test_no_secret_is_written_while_a_server_is_stopped(world: Project) -> None:
    life = Life(world, "--debug", "--json")
    life.running.event(event="state", state="running")
    life.look("while it runs")
    life.ask()
    assert life.running.stop(signal.SIGTERM) == 0
    life.look("at the end")
    assert "OPENCODE_SERVER_PASSWORD" in life.secrets
    assert life.given == {name: life.secrets[name] for name in ELSEWHERE}
    assert life.leaks() == []


def test_no_secret_is_written_when_a_plugin_fails_before_the_start(world: Project) -> None:
    life = Life(world, "--debug", fails_at_the_start=True)
    assert life.running.end() == 1
    life.look("at the end")
    assert life.leaks() == []
