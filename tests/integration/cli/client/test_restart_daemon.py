"""The hostler in the background anew, with what it was started with."""

from __future__ import annotations

import json
from pathlib import Path

from background_project import pid_of, servers, write
from cli_project import eventually
from hostler.client import Client
from hostler_process import Run, Start, server_table

PLUGIN = """
from dataclasses import dataclass
from pathlib import Path
from hostler import Launch, hookimpl

@dataclass(eq=False)
class Tells:
    @hookimpl
    async def pre_spawn(self, launch: Launch) -> None:
        async def what_runs():
            return ["a session"] if (launch.cwd / "busy").exists() else []
        launch.facts["what_runs"] = what_runs
"""


def test_it_comes_back_with_the_same_layers_and_the_same_servers(project: Path, run: Run) -> None:
    write(
        project,
        server_table(),
        server_table(name="other"),
        server_table(name="needy", needs="{ other = { on_restart = 'stop' } }"),
        server_table(name="later", autostart="false"),
        "[profiles.p.servers.fake]\ntitle = 'of the profile'\n",
    )
    layers = ("--profile", "p", "--set", "servers.other.title=set")
    words = (*layers, "--idle-exit", "1h", "--log-format", "json", "--log-level", "info")
    pid = pid_of(run("up", "--json", *words))
    before = servers(run)

    anew = run("restart-daemon", "--json")
    assert anew.returncode == 0, anew.stderr
    assert pid_of(anew) != pid
    after = servers(run)
    assert {name: row["state"] for name, row in after.items()} == {
        "fake": "running",
        "other": "running",
        "needy": "running",
        "later": "stopped",
    }
    assert all(after[name]["pid"] != before[name]["pid"] for name in ("fake", "other"))
    assert "title" not in run("up", *layers).stderr, "a reload would change what was not applied"

    run("stop", "other")
    run("start", "later")
    assert run("restart-daemon").returncode == 0
    assert run("restart-daemon").returncode == 0
    assert {name: row["state"] for name, row in servers(run).items()} == {
        "fake": "running",
        "other": "stopped",
        "needy": "stopped",
        "later": "running",
    }
    assert run("up", *layers).returncode == 0
    rows = servers(run)
    assert rows["other"]["state"] == rows["needy"]["state"] == "stopped", "what somebody has stopped stays so"

    run("stop", "--all")
    assert run("restart-daemon").returncode == 0
    assert {row["state"] for row in servers(run).values()} == {"stopped"}

    (log,) = (project / "data").rglob("daemon.log")
    told = [json.loads(line)["message"] for line in log.read_text().splitlines()]
    assert told.count("a client has asked to end") == 4
    assert told.count("a client has asked for a reload") == 2


def test_servers_that_are_not_in_the_file_do_not_keep_the_new_one_from_starting(
    project: Path, run: Run
) -> None:
    template = server_table().replace("[servers.fake", "[templates.t")
    write(project, server_table(), server_table(name="other"), server_table(name="old"), template)
    with Client(socket=json.loads(run("up", "--json").stdout)["socket"]) as hostler:
        hostler.add("t", "added")
    run("stop", "other")
    write(project, server_table(), server_table(name="other"), template)
    anew = run("restart-daemon")
    assert anew.returncode == 0, anew.stderr
    assert "not started anew, as the configuration does not have it: added, old" in anew.stderr
    assert {name: row["state"] for name, row in servers(run).items()} == {
        "fake": "running",
        "other": "stopped",
    }


def test_a_mistake_is_told_while_the_old_one_runs_on(project: Path, run: Run) -> None:
    write(project, server_table())
    pid = pid_of(run("up", "--json"))
    write(project, "[servers.fake]\ncomand = 3\n")
    done = run("restart-daemon")
    assert done.returncode == 2
    assert 'did you mean "command"?' in done.stderr
    write(project, server_table())
    assert pid_of(run("up", "--json")) == pid


def test_one_that_cannot_start_is_told_with_its_log_and_how_to_go_on(
    project: Path, run: Run, environ: dict[str, str]
) -> None:
    write(project, server_table())
    run("up", "--set", "servers.fake.title=a b")
    # Its own folder for records cannot be made any more: no mistake of the configuration.
    done = run("restart-daemon", env=environ | {"XDG_STATE_HOME": "/dev/null/x"})
    assert done.returncode == 1, done
    assert done.stderr.startswith("the old one has ended, and the new one cannot start:\n")
    assert f"hostler up {project}/hostler.toml --set 'servers.fake.title=a b'; its log is " in done.stderr
    assert run("ps").returncode == 3


def test_a_run_in_a_terminal_is_left_alone(project: Path, run: Run, start: Start) -> None:
    write(project, server_table())
    running = start("run")
    running.wait_for("fake server started")
    eventually(lambda: run("ps").returncode == 0)
    done = run("restart-daemon")
    assert done.returncode == 2
    assert "was not started by `hostler up`" in done.stderr
    assert running.process.poll() is None


def test_without_a_hostler_there_is_none_to_restart(project: Path, run: Run) -> None:
    write(project, server_table())
    assert run("restart-daemon").returncode == 3
    assert run("restart-daemon", "--within", "1s").returncode == 2


def test_it_waits_for_a_moment_in_which_nothing_runs(project: Path, run: Run, start: Start) -> None:
    (project / "tells.py").write_text(PLUGIN)
    tells = '[servers.fake.plugins.tells]\nuse = "./tells.py:Tells"\n'
    write(project, server_table(), tells, server_table(name="silent"))
    (project / "busy").touch()
    pid = pid_of(run("up", "--json"))
    done = run("restart-daemon", "--when-idle", "--within", "100ms")
    assert done.returncode == 1
    assert "fake: it was not idle within 0.1 s, so nothing was restarted; running: a session" in done.stderr
    waiting = start("restart-daemon", "--when-idle")
    (project / "busy").unlink()
    assert waiting.end() == 0
    assert pid_of(run("up", "--json")) != pid

    write(project, server_table(name="silent"))
    run("up")
    done = run("restart-daemon", "--when-idle")
    assert (done.returncode, done.stderr.splitlines()[0]) == (
        1,
        "no server that runs tells what runs on it, so no quiet moment is known",
    )
