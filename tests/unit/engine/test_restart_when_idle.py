"""A restart that waits for a quiet moment: busy, idle and unknown."""

from __future__ import annotations

from functools import partial

import anyio
import pytest
from hostler import Directories, Launch, RestartNotIdle, State, Supervisor, hookimpl
from specs import MakeSpec, with_plugin


class Tells:
    """A launcher that puts what it knows into the facts; `asked` is set at the first question."""

    def __init__(self, fact: str, answer: object) -> None:
        self.fact, self.answer = fact, answer
        self.asked = anyio.Event()

    @hookimpl
    async def pre_spawn(self, launch: Launch) -> None:
        async def what_runs() -> object:
            return self.is_idle()

        launch.facts[self.fact] = {"what_runs": what_runs, "is_idle": self.is_idle}.get(self.fact)

    def is_idle(self) -> object:
        self.asked.set()
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


@pytest.mark.parametrize(
    ("fact", "answer", "reason"),
    [
        ("what_runs", ["job 1", "job 2"], "running: job 1, job 2"),
        ("what_runs", None, "unknown, which counts as busy"),
        ("what_runs", OSError("no answer"), "unknown, which counts as busy"),
        ("is_idle", False, "running: it does not say what"),
        ("nothing", None, "unknown, which counts as busy"),
    ],
)
async def test_a_server_that_is_not_known_to_be_idle_runs_on(
    fact: str, answer: object, reason: str, make_spec: MakeSpec, directories: Directories
) -> None:
    spec = make_spec(plugins=with_plugin(Tells(fact, answer)))
    async with Supervisor(spec, directories=directories) as supervisor:
        server = supervisor["fake"]
        await server.wait_ready(20)
        with anyio.fail_after(5), pytest.raises(RestartNotIdle, match=reason):
            await server.restart(when="idle", within="100ms")
        assert (server.state, server.generation) == (State.RUNNING, 1)


@pytest.mark.parametrize(("fact", "busy", "idle"), [("what_runs", ["job"], []), ("is_idle", False, True)])
async def test_it_is_restarted_as_soon_as_nothing_runs(
    fact: str, busy: object, idle: object, make_spec: MakeSpec, directories: Directories
) -> None:
    plugin = Tells(fact, busy)
    async with Supervisor(make_spec(plugins=with_plugin(plugin)), directories=directories) as supervisor:
        server = supervisor["fake"]
        await server.wait_ready(20)
        with anyio.fail_after(20):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(partial(server.restart, when="idle", within=20.0))
                await plugin.asked.wait()
                assert server.generation == 1
                plugin.answer = idle
        assert server.generation == 2


async def test_a_stop_that_is_asked_for_meanwhile_wins(make_spec: MakeSpec, directories: Directories) -> None:
    plugin = Tells("what_runs", ["job"])
    async with Supervisor(make_spec(plugins=with_plugin(plugin)), directories=directories) as supervisor:
        server = supervisor["fake"]
        await server.wait_ready(20)
        with anyio.fail_after(20):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(partial(server.restart, when="idle", within=20.0))
                await plugin.asked.wait()
                await server.stop()
        assert (server.state, server.generation) == (State.STOPPED, 1)
