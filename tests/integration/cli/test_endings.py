"""How `hostler run` ends when tasks are done, and when an essential server has ended."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest
from hostler_process import Configure, Run, Start, server_table


def table(name: str, script: str, **settings: str) -> str:
    """The TOML of a shell script; settings are written as they are."""
    lines = [f"[servers.{name}]", f"command = ['sh', '-c', '''{script}''']"]
    return "\n".join([*lines, *(f"{key} = {value}" for key, value in settings.items()), ""])


TASK = {"kind": '"task"', "restart": '{ policy = "never" }'}
WORKER = {"port": "false", "essential": "true", "restart": '{ policy = "never" }'}


def test_a_run_of_tasks_ends_with_0_when_all_are_done(configure: Configure, run: Run) -> None:
    second = table("second", "exit 0", needs='{ first = "completed" }', title='"Second"', **TASK)
    configure(text=table("first", "echo done", **TASK) + second)
    done = run("run")
    assert done.returncode == 0
    lines = done.stdout.splitlines()
    assert lines[0] == "Starting first task..."
    assert lines[-1] == "Second task second completed"
    assert "first task completed" in lines
    assert lines.index("first task completed") < next(
        number for number, line in enumerate(lines) if line.startswith("Second task second started (pid ")
    )
    assert "Shutting down" not in done.stdout
    assert done.stderr == ""


def test_a_run_of_tasks_ends_with_the_code_of_the_one_that_failed(configure: Configure, run: Run) -> None:
    tasks = table("good", "exit 0", **TASK) + table("bad", "echo oh; exit 9", **TASK)
    configure(text=table("after", "exit 0", needs='{ bad = "completed" }', **TASK) + tasks)
    done = run("run")
    assert done.returncode == 9
    assert "good task completed" in done.stdout
    assert "bad task failed: it did not complete: exit code 9" in done.stderr
    assert (
        "after task not started: it needs bad to complete, which failed: it did not complete" in done.stderr
    )


@pytest.mark.parametrize(
    ("script", "code"), [("sleep 0.3; exit 7", 7), ("kill -KILL $$$$", 137), ("exit 0", 0)]
)
def test_a_run_ends_with_the_code_of_its_essential_server(
    configure: Configure, run: Run, script: str, code: int
) -> None:
    configure(text=server_table(name="db") + table("main", script, **WORKER))
    done = run("run")
    assert done.returncode == code
    assert f"main server: it is essential and has {'failed' if code else 'done its work'}: " in done.stdout
    assert f"the run ends, with exit code {code}" in done.stdout
    assert "db server stopped" in done.stdout


@pytest.mark.parametrize(("codes", "code", "how"), [("[0, 3]", 3, "stopped"), ("[0]", 3, "failed")])
def test_success_exit_codes_decide_whether_the_end_of_a_server_is_a_crash(
    configure: Configure, run: Run, codes: str, code: int, how: str
) -> None:
    settings = {"success_exit_codes": codes, "restart": "{ max_restarts = 0, start_retries = 0 }"}
    configure("--exit-after", "0.3", "--exit-code", str(code), **settings)
    done = run("run")
    assert f"fake server {how}" in done.stdout + done.stderr
    assert done.returncode == (how == "failed")
    assert ("crashed" in done.stdout) == (how == "failed")


def test_an_essential_server_that_never_becomes_ready_is_exit_code_1(configure: Configure, run: Run) -> None:
    settings = {"startup_timeout": '"200ms"', "essential": "true", "restart": "{ start_retries = 0 }"}
    configure("--no-listen", **settings)
    assert run("run").returncode == 1


def test_the_command_beside_is_ended_with_its_essential_server(configure: Configure, start: Start) -> None:
    configure(text=server_table(name="db") + table("main", "sleep 1; exit 6", **WORKER))
    script = "sleep 100 & trap 'echo told; kill $!; exit 3' TERM; echo runs; wait"
    hostler = start("run", "--", "sh", "-c", script)
    hostler.wait_for("runs")
    assert hostler.end() == 6
    assert "told" in hostler.stdout


def test_a_command_is_not_begun_when_the_run_has_ended(
    configure: Configure, run: Run, tmp_path: Path
) -> None:
    slow = table("slow", "sleep 1000", startup_timeout='"60s"')
    configure(text=slow + table("main", "exit 0", **WORKER))
    assert run("run", "--", "touch", str(tmp_path / "begun")).returncode == 0
    assert not (tmp_path / "begun").exists()


def test_a_signal_is_no_end_of_an_essential_server(configure: Configure, start: Start) -> None:
    configure(essential="true")
    hostler = start("run")
    hostler.wait_for("started on port")
    hostler.send(signal.SIGTERM)
    assert hostler.end() == 0
    assert not any("essential" in line for line in hostler.stdout)


def test_what_has_completed_and_what_waited_for_it_in_vain_is_explained(
    configure: Configure, run: Run
) -> None:
    good = table("good", "exit 0", **TASK) + table("bad", "exit 9", **TASK)
    configure(text=table("after", "exit 0", needs='{ bad = "completed" }', **TASK) + good)
    run("run")
    told = run("explain", "after").stdout
    assert "it waits for bad. " in told
    assert "It could not be started once in the last hour" in told
    told = run("explain", "good").stdout
    assert "good has completed, at " in told
    assert "It runs again when it is started again." in told
    assert "it needs bad to complete, which failed: it did not complete" in run("explain", "after").stdout


DEAF = """
from dataclasses import dataclass

import anyio
from hostler import Healthy, hookimpl


@dataclass(eq=False)
class Deaf:
    "Hears of no cancellation."

    @hookimpl
    async def HOOK(self):
        YIELD

        while True:
            try:
                await anyio.sleep(60)
            except BaseException:
                pass
"""


@pytest.mark.parametrize(
    ("hook", "first", "told"),
    [
        ("health_check", "yield Healthy()", "plugin deaf did not end its health check"),
        ("on_ready", "pass", ""),  # that it is named then too is shown in test_plugins_calls.py
    ],
)
def test_a_plugin_that_never_ends_is_named_and_keeps_no_run_and_no_check_from_ending(
    configure: Configure, run: Run, tmp_path: Path, hook: str, first: str, told: str
) -> None:
    (tmp_path / "deaf.py").write_text(DEAF.replace("HOOK", hook).replace("YIELD", first))
    configure(text=server_table() + "deaf = { use = 'deaf.py:Deaf' }\n")
    done = run("run", "--", "sh", "-c", "sleep 0.2; exit 5")
    assert done.returncode == 5
    assert told in done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    assert "fake server stopped" in done.stdout + done.stderr

    checked = run("plugins", "check", "deaf.py:Deaf")
    assert checked.returncode == 1
    assert f"Deaf.{hook}: swallows its cancellation and goes on" in checked.stdout + checked.stderr
    assert "breaks 1 promise" in checked.stdout + checked.stderr
