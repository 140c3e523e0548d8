"""Tasks: they run to completion, and are told, restarted, awaited and cleaned up as such."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import anyio
import pytest
from hostler import (
    Configuration,
    Directories,
    Event,
    ExitCause,
    Exited,
    Healthy,
    InvalidConfiguration,
    Kind,
    PluginSpec,
    Report,
    RestartMode,
    RestartPolicy,
    ServerCrashed,
    ServerError,
    ServerSpec,
    StartupTimeout,
    State,
    StateChanged,
    Supervisor,
    Unhealthy,
    hookimpl,
    serve,
)
from specs import QUICK, MakeSpec

NEVER = replace(QUICK, policy=RestartMode.NEVER)


def task(script: str, **fields: Any) -> ServerSpec:
    """A task that runs a shell script."""
    given: dict[str, Any] = {"name": "task", "kind": Kind.TASK, "restart": QUICK} | fields
    return ServerSpec(command=("sh", "-c", script), **given)


def moves(events: list[Event], name: str = "task") -> list[tuple[State, str]]:
    found = [event for event in events if isinstance(event, StateChanged) and event.server == name]
    return [(event.state, event.reason) for event in found]


async def test_a_task_that_ends_with_0_has_completed(directories: Directories) -> None:
    events: list[Event] = []

    async with Supervisor(task("exit 0"), directories=directories) as supervisor:
        supervisor.listen(events.append)
        server = supervisor["task"]
        assert not server.completed
        with anyio.fail_after(10):
            await server.wait_completed()
            await server.wait_ready()  # it has been ready
            await supervisor.wait_ready()
            await supervisor.wait()
        assert server.completed
        assert server.crashes == ()

    assert moves(events) == [
        (State.STARTING, ""),
        (State.WAITING_READY, ""),
        (State.RUNNING, ""),
        (State.STOPPING, "completed"),
        (State.STOPPED, "completed"),
    ]
    (exit_,) = [event.exit for event in events if isinstance(event, Exited)]
    assert (exit_.cause, exit_.code, exit_.killed) == (ExitCause.EXITED, 0, False)


async def test_what_a_task_leaves_behind_is_stopped_before_it_has_completed(
    directories: Directories, marked: Callable[[str], list[int]], tmp_path: Path
) -> None:
    mark = str(tmp_path / "left")
    spec = task(f"setsid sh -c 'sleep 1000; : {mark}' </dev/null >/dev/null 2>&1 & echo started; exit 0")
    async with Supervisor(spec, directories=directories) as supervisor:
        await supervisor["task"].wait_completed(10)
        assert marked(mark) == []


async def test_a_task_that_fails_is_tried_again_within_its_budget(
    directories: Directories, tmp_path: Path
) -> None:
    count = tmp_path / "count"
    script = f"echo x >> {count}; test $(wc -l < {count}) -ge 3 || exit 4"
    async with Supervisor(task(script), directories=directories) as supervisor:
        await supervisor["task"].wait_completed(10)
        assert supervisor["task"].generation == 3
        assert [crash.code for crash in supervisor["task"].crashes] == [4, 4]


async def test_a_task_that_fails_late_each_time_is_failed_all_the_same(directories: Directories) -> None:
    policy = RestartPolicy(max_restarts=2, initial_delay=0.0, stable_after=0.0)
    async with Supervisor(task("sleep 0.05; exit 3", restart=policy), directories=directories) as supervisor:
        with pytest.raises(ServerCrashed, match=r"it did not complete: exit code 3 after 0\.\d s"):
            await supervisor["task"].wait_completed(10)
        assert supervisor["task"].generation == 3
        assert supervisor["task"].state is State.FAILED
        assert not supervisor["task"].completed


@pytest.mark.parametrize("ready", [True, False])
async def test_a_task_that_is_never_restarted_has_failed_at_once(
    directories: Directories, ready: bool
) -> None:
    health = PluginSpec("says", instance=Says([Healthy() if ready else Unhealthy("not yet")]))
    spec = task("sleep 0.3; exit 5", restart=NEVER, plugins=(health,))
    async with Supervisor(spec, directories=directories) as supervisor:
        with pytest.raises(ServerCrashed, match="exit code 5"):
            await supervisor["task"].wait_completed(10)
        assert supervisor["task"].generation == 1


@dataclass(eq=False)
class Says:
    """Reports, and hears what is said at the end."""

    reports: list[Report]
    reasons: list[str] = field(default_factory=list)

    @hookimpl
    async def health_check(self) -> AsyncIterator[Report]:
        for report in self.reports:
            yield report

    @hookimpl
    async def on_shutdown(self, reason: str) -> None:
        self.reasons.append(reason)


async def test_a_task_may_complete_before_its_health_plugins_call_it_ready(directories: Directories) -> None:
    says = Says([Unhealthy("not yet")])
    spec = task("exit 0", plugins=(PluginSpec("says", instance=says),))
    async with Supervisor(spec, directories=directories) as supervisor:
        await supervisor["task"].wait_ready(10)
        assert supervisor["task"].completed
    assert says.reasons == ["completed"]


async def test_the_time_to_start_is_no_limit_for_the_work_of_a_task(directories: Directories) -> None:
    async with Supervisor(task("sleep 0.6", startup_timeout=0.1), directories=directories) as supervisor:
        await supervisor["task"].wait_completed(10)
        assert supervisor["task"].generation == 1


@pytest.mark.parametrize("ready", [True, False])
async def test_a_task_that_takes_too_long_has_failed(directories: Directories, ready: bool) -> None:
    health = PluginSpec("says", instance=Says([Healthy() if ready else Unhealthy("not yet")]))
    spec = task("sleep 1000", task_timeout=0.3, restart=NEVER, plugins=(health,))
    async with Supervisor(spec, directories=directories) as supervisor:
        with pytest.raises(ServerCrashed, match=r"it did not complete within 0\.3 s") as caught:
            await supervisor["task"].wait_completed(10)
        assert "task_timeout" in caught.value.context.hint
        assert supervisor["task"].crashes[-1].cause is ExitCause.TASK_TIMEOUT


async def test_a_task_that_is_never_called_ready_is_a_startup_timeout(directories: Directories) -> None:
    health = PluginSpec("says", instance=Says([Unhealthy("not yet")]))
    spec = task("sleep 1000", startup_timeout=0.2, task_timeout=60.0, restart=NEVER, plugins=(health,))
    async with Supervisor(spec, directories=directories) as supervisor:
        with pytest.raises(StartupTimeout, match="not yet"):
            await supervisor["task"].wait_completed(10)


async def test_a_task_runs_again_only_when_it_is_started_again(directories: Directories) -> None:
    specs = [task("exit 0"), ServerSpec(name="worker", command=("sleep", "1000"), port=None, needs=("task",))]
    async with Supervisor(specs, directories=directories) as supervisor:
        server, worker = supervisor["task"], supervisor["worker"]
        await supervisor.wait_ready(timeout=10)
        await server.wait_completed(10)
        begun = worker.generation  # 2 where the task ended just before the worker was to be spawned
        await worker.restart()
        await worker.stop()
        await worker.start()
        assert (server.generation, worker.generation) == (1, begun + 2)
        starting = asyncio.ensure_future(server.start())
        await asyncio.sleep(0)
        assert not server.completed
        await starting
        await server.wait_completed(10)
        assert server.generation == 2


async def test_a_stop_ends_a_task_that_has_not_completed(directories: Directories) -> None:
    async with Supervisor(task("sleep 1000"), directories=directories) as supervisor:
        server = supervisor["task"]
        await server.wait_ready(10)  # it runs
        with pytest.raises(StartupTimeout, match=r"not completed after 0\.05 s; it is running"):
            await server.wait_completed(0.05)
        await server.stop()
        assert (server.state, server.completed) == (State.STOPPED, False)
        with pytest.raises(ServerError, match="it is stopped"):
            await server.wait_completed(5)


async def test_a_restart_of_a_task_begins_its_work_anew(directories: Directories, tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    async with Supervisor(task(f"test -e {mark} || sleep 1000"), directories=directories) as supervisor:
        server = supervisor["task"]
        await server.wait_ready(10)
        mark.touch()
        await server.restart()
        await server.wait_completed(10)
        assert server.generation == 2


async def test_a_start_while_a_task_is_cleaned_up_runs_it_again(directories: Directories) -> None:
    spec = task("exit 0", plugins=(PluginSpec("slow", instance=SlowEnd()),))
    async with Supervisor(spec, directories=directories) as supervisor:
        server = supervisor["task"]
        with anyio.fail_after(10):
            await server.until(lambda: server.state is State.STOPPING)
            await server.start()
            assert server.generation == 2
            await server.wait_completed()


@dataclass(eq=False)
class SlowEnd:
    """Takes its time at the end of the first run."""

    runs: int = 0

    @hookimpl
    async def on_shutdown(self) -> None:
        self.runs += 1
        await anyio.sleep(0.2 if self.runs == 1 else 0)


async def test_only_a_task_completes(make_spec: MakeSpec, directories: Directories) -> None:
    async with Supervisor(make_spec(), directories=directories) as supervisor:
        with pytest.raises(ServerError, match="it is not a task"):
            await supervisor["fake"].wait_completed()


def test_a_task_in_python_is_held_to_the_same_rules(directories: Directories) -> None:
    always = RestartPolicy(policy=RestartMode.ALWAYS)
    with pytest.raises(InvalidConfiguration, match=r"servers\.task\.port: a task has no port"):
        Supervisor(task("true", port=80), directories=directories)
    with pytest.raises(InvalidConfiguration, match=r"servers\.task\.restart\.policy: a task ends when"):
        Supervisor(task("true", restart=always), directories=directories)


def test_tasks_without_async(directories: Directories) -> None:
    with serve(Configuration({"task": task("exit 0")}), directories=directories) as servers:
        servers["task"].wait_completed(timeout=10)
        assert servers["task"].completed
        assert servers.ended_by is None
