"""Every error of hostler as a problem of the control API."""

from __future__ import annotations

import asyncio
import inspect
from typing import Any

import anyio
import pytest
from controlled import controlled
from hostler import (
    Directories,
    ForceKillTimeout,
    InvalidConfiguration,
    Problem,
    RestartPolicy,
    ServerError,
    State,
    errors,
)
from hostler.control.problems import KINDS, STATUSES, refused
from specs import MakeSpec

EXPECTED = {
    "ServerError": ("failed", 409),
    "InvalidConfiguration": ("invalid_configuration", 422),
    "PortInUse": ("failed", 409),
    "StartupTimeout": ("timed_out", 504),
    "EventStreamConnectionFailed": ("failed", 409),
    "ProcessSpawnFailed": ("failed", 409),
    "ServerCrashed": ("failed", 409),
    "PortParsingFailed": ("failed", 409),
    "ListensTooWide": ("failed", 409),
    "LogFileCreationFailed": ("failed", 409),
    "EnvironmentSetupFailed": ("failed", 409),
    "ProcessAlreadyRunning": ("failed", 409),
    "RestartNotIdle": ("not_idle", 409),
    "ForceKillTimeout": ("unkillable", 500),
    "PluginError": ("failed", 409),
}


def test_every_class_of_errors_has_its_row() -> None:
    classes = {
        value for value in vars(errors).values() if inspect.isclass(value) and issubclass(value, ServerError)
    }
    assert classes == set(KINDS)
    assert {class_.__name__ for class_ in classes} == set(EXPECTED)
    assert set(KINDS.values()) <= set(STATUSES)


@pytest.mark.parametrize("name", EXPECTED)
def test_an_error_is_told_with_its_class_its_server_and_what_to_do(name: str) -> None:
    error = getattr(errors, name)("it went wrong", hint="mend it", server="web")
    problem = refused(error).problem
    assert (problem.type, problem.status) == (f"/problems/{EXPECTED[name][0]}", EXPECTED[name][1])
    assert (problem.error, problem.server, problem.hint) == (name, "web", "mend it")
    assert problem.detail == "it went wrong"


def test_an_error_has_what_only_its_class_knows() -> None:
    class Own(ForceKillTimeout):
        """That of a plugin is what the one above it is."""

    problem = refused(Own("alive", details={"pids": [7]}, stderr="last words")).problem
    assert (problem.type, problem.pids, problem.stderr) == ("/problems/unkillable", [7], "last words")
    mistakes = refused(
        InvalidConfiguration([Problem("servers.web.port", "expected a number")])
    ).problem.mistakes
    assert mistakes == ["servers.web.port: expected a number"]


async def test_a_server_that_is_given_up_is_told_with_the_number_of_its_crash(
    make_spec: MakeSpec, directories: Directories
) -> None:
    policy = RestartPolicy(start_retries=1, initial_delay=0.01)
    spec = make_spec("--exit-after", "0", autostart=False, restart=policy)
    async with controlled(spec, directories=directories) as client:
        answer = await client.ask("POST", "/v1/servers/fake/start", {})
        problem: dict[str, Any] = answer.json()
        assert (answer.status, problem["type"], problem["crash"]) == (409, "/problems/failed", 2)
        assert (await client.get("/v1/servers/fake/crashes/2"))["reason"].endswith(problem["detail"])


async def test_who_waits_for_a_start_is_told_of_a_stop(make_spec: MakeSpec, directories: Directories) -> None:
    async with controlled(make_spec("--no-listen", autostart=False), directories=directories) as client:
        server = client.supervisor["fake"]
        waiting = asyncio.create_task(client.problem("POST", "/v1/servers/fake/start", {}))
        with anyio.fail_after(20):
            await server.until(lambda: server.state is State.WAITING_READY)
        await client.supervisor.stop("fake", force=True)
        assert (await waiting)[:2] == (409, "stopped")


async def test_a_fault_of_hostler_has_a_number_that_stands_in_its_log(
    directories: Directories, caplog: pytest.LogCaptureFixture
) -> None:
    text = "what-nobody-knows"

    class Host:
        async def reload(self, *, dry_run: bool, environ: object) -> None:
            raise RuntimeError(text)

    async with controlled(directories=directories, host=Host()) as client:
        answer = await client.ask("POST", "/v1/reload", {})
        detail = str(answer.json()["detail"])
        number = detail.rpartition(" ")[2]
        assert (answer.status, answer.json()["type"]) == (500, "/problems/internal")
        assert b"nobody-knows" not in answer.body
        assert b"Traceback" not in answer.body
        assert len(number) == 8
        assert f"number {number}" in caplog.text
        assert "RuntimeError" in caplog.text
        assert "in reload" in caplog.text
        assert "nobody-knows" not in caplog.text  # nothing masks what stands there
