"""A program in another language, over the unix socket, with types made of the document."""

from __future__ import annotations

from pathlib import Path

from background_project import write
from hostler import __version__
from hostler_process import Run, server_table
from node_program import answer_of, compiled


def test_a_typescript_program_restarts_a_server_and_follows_its_events(
    project: Path, run: Run, environ: dict[str, str]
) -> None:
    program = compiled(project)
    write(project, server_table())
    assert run("up").returncode == 0
    (socket,) = Path(environ["XDG_RUNTIME_DIR"], "hostler").glob("*.sock")
    told = answer_of(program, str(socket), "fake")
    assert (told["before"], told["after"], told["changed"]) == (1, 2, True)
    assert told["states"][-3:] == ["starting", "waiting_ready", "running"]
    assert told["refused"] == [404, "/problems/not_found"]
    assert told["version"] == __version__
