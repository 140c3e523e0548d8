"""Servers in the background, as a user has them in two terminals."""

from __future__ import annotations

import json
import os
import signal

from cli_project import NOTHING, CommandLine, Project, eventually
from controlled import short_folder


def test_a_day_in_the_background_leaves_logs_and_crash_records_alone(world: Project) -> None:
    """up, ps, logs -f in a second terminal, kill -9, restart, down."""
    plugins = {"regex-port": {}, "log-rotation": {"index": True}}
    world.fake("--print", "hello", plugins=plugins)
    with short_folder() as folder:

        def hostler(*words: str) -> CommandLine:
            return world.hostler(*words, XDG_RUNTIME_DIR=str(folder))

        def row() -> dict[str, object]:
            shown = hostler("ps", "--json")
            assert shown.end() == 0
            (found,) = json.loads(shown.out[0])["servers"]
            return dict(found)

        up = hostler("up")
        assert up.end() == 0, up.err
        assert "1 of 1 ready." in up.out
        first = row()
        assert (first["state"], first["generation"]) == ("running", 1)

        second_terminal = hostler("logs", "-f")
        second_terminal.line(r"^20.*Z fake \| hello$")
        os.kill(int(str(first["pid"])), signal.SIGKILL)
        second_terminal.line(r"^--- fake: run 2 began \(pid \d+\) ---$")
        assert hostler("wait", "fake").end() == 0
        assert hostler("restart", "fake").end() == 0
        second_terminal.line(rf"^--- fake: run 3 began \(pid {row()['pid']}\) ---$")
        assert hostler("events", "--kind", "crash").line("killed by SIGKILL")

        down = hostler("down")
        assert (down.end(), down.out) == (0, ["all servers are stopped"])
        assert second_terminal.stop(signal.SIGINT) == 130
        assert sum(line.endswith("| hello") for line in second_terminal.out) == 3
        assert [path for path in folder.rglob("*") if path.is_file()] == []

    eventually(lambda: world.what_is_left() == NOTHING)
    kept = {str(path.relative_to(path.parents[1])) for path in world.written() if path.parent.name != "fake"}
    assert {name.split("/")[1] for name in kept} == {"fake.log", ".fake.log.index", "daemon.log", "fake.json"}
    assert [path.parent.parent.name for path in world.written() if path.parent.name == "fake"] == ["crashes"]
