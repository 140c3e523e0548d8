"""Restarts after advice, refused ports and slow ends, and what they cost of the budget."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Collection
from dataclasses import dataclass, replace

import anyio
import anyio.lowlevel
import pytest
from hostler import (
    Action,
    Advice,
    Directories,
    Healthy,
    PluginSpec,
    Report,
    RestartPolicy,
    Server,
    ServerError,
    ServerSpec,
    State,
    Supervisor,
    Unhealthy,
    hookimpl,
)
from hostler.testing import FakeChild, SimulatedHost, run_virtually
from specs import QUICK, MakeSpec, announced
from supervised_servers import reaches

NO_RETRY = replace(QUICK, start_retries=0)
SLOW = RestartPolicy(initial_delay=60.0, max_delay=60.0, start_retries=1)


async def reaches_in(seconds: float, server: Server, *wanted: State) -> None:
    with anyio.fail_after(seconds):
        await server.until(lambda: server.state in wanted)


def with_plugin(plugin: object) -> tuple[PluginSpec, ...]:
    return (announced(), PluginSpec("odd", instance=plugin))


RESTART_NOW = Advice(Action.RESTART_NOW)


@dataclass(eq=False)
class Advises:
    """Advises to restart now, or what it is told to."""

    advice: Advice = RESTART_NOW

    @hookimpl
    async def on_crash(self) -> Advice:
        return self.advice


@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize(
    ("advice", "told"),
    [
        (
            (Advice(Action.GIVE_UP, ServerError("no key")), Advice(Action.BACK_OFF, ServerError("busy"))),
            "no key",
        ),
        ((Advice(Action.GIVE_UP), Advice(Action.RESTART_NOW, ServerError("busy"))), "busy"),
        ((Advice(Action.GIVE_UP), Advice(Action.BACK_OFF)), "it exited unexpectedly"),
    ],
)
def test_of_several_advices_the_strongest_counts_and_the_error_of_the_strongest_that_has_one(
    directories: Directories, advice: tuple[Advice, Advice], told: str, turned: bool
) -> None:
    plugins = tuple(
        PluginSpec(f"p{number}", instance=Advises(word))
        for number, word in enumerate(reversed(advice) if turned else advice)
    )

    async def main() -> None:
        world = SimulatedHost()
        spec = ServerSpec(name="web", command=("x",), port=None, restart=QUICK, plugins=plugins)
        async with world.supervisor(spec, directories=directories) as supervisor:
            server = supervisor["web"]
            await server.wait_ready(10)
            world.children[0].exit(3)
            await reaches(server, State.FAILED)
            assert server.generation == 1
            assert server.error is not None
            assert told in server.error.message

    run_virtually(main)


async def test_advice_to_restart_now_skips_the_delay_of_a_failed_start_too(
    make_spec: MakeSpec, directories: Directories
) -> None:
    spec = make_spec("--exit-after", "0", plugins=with_plugin(Advises()), restart=SLOW)
    async with Supervisor(spec, directories=directories) as supervisor:
        with anyio.fail_after(10):
            await reaches(supervisor["fake"], State.FAILED)
        assert supervisor["fake"].generation == 2


class LeftOver(SimulatedHost):
    """A machine on which connections of a former run keep every port from who binds it.

    Each child says its word and ends, or listens where it has none to say.
    """

    def __init__(self, said: list[str]) -> None:
        super().__init__()
        self.said = iter(said)
        self.unused = iter(range(30_000, 31_000))
        self.on_child = self._behave

    def _behave(self, child: FakeChild) -> None:
        if text := next(self.said):
            child.say(text, "stderr")
            child.exit(1)
        else:
            child.listen()

    def needs_only_time(self, host: str, port: int, *, reuse: bool) -> bool:
        return not reuse

    def free_port(self, host: str, *, preferred: int | None, avoid: Collection[int]) -> int:
        return preferred or next(self.unused)


IN_USE, WELL = "OSError: [Errno 98] Address already in use", ""


@pytest.mark.parametrize(
    ("said", "state"),
    [
        ([IN_USE, WELL], State.RUNNING),
        ([IN_USE, IN_USE, WELL], State.FAILED),  # after the wait it has another reason
        (["no such table", WELL], State.FAILED),
    ],
)
@pytest.mark.parametrize("port", [0, 4000])
def test_only_a_first_bind_that_fails_for_connections_left_over_spends_no_try(
    directories: Directories, said: list[str], state: State, port: int
) -> None:
    async def main() -> None:
        world = LeftOver(said)
        spec = ServerSpec(name="web", command=("x",), port=port, restart=NO_RETRY)
        async with world.supervisor(spec, directories=directories) as supervisor:
            await reaches_in(600, supervisor["web"], State.RUNNING, State.FAILED)
            assert supervisor["web"].state is state
            ports = [child.launch.port for child in world.children]
            assert len(ports) == said.index(WELL) + (state is State.RUNNING)
            assert len({*ports}) == (1 if port else len(ports)), "where it is free to choose, another one"

    run_virtually(main)


def test_after_a_run_that_was_ready_a_port_is_waited_for_once_more(directories: Directories) -> None:
    async def main() -> None:
        world = LeftOver([IN_USE, WELL, IN_USE, WELL])
        policy = replace(NO_RETRY, max_restarts=1)
        spec = ServerSpec(name="web", command=("x",), port=4000, restart=policy)
        async with world.supervisor(spec, directories=directories) as supervisor:
            server = supervisor["web"]
            await reaches_in(600, server, State.RUNNING)
            world.children[1].exit(1)
            await reaches_in(600, server, State.CRASHED, State.BACKOFF)
            await reaches_in(600, server, State.RUNNING, State.FAILED)
            assert server.state is State.RUNNING

    run_virtually(main)


@dataclass(eq=False)
class Complains:
    """Says that all is well, once, and then that it is not."""

    @hookimpl
    async def health_check(self) -> AsyncGenerator[Report, None]:
        yield Healthy()
        await asyncio.sleep(0.05)
        yield Unhealthy("gone", fatal=True)


async def test_the_time_that_a_server_takes_to_die_is_no_stable_running(
    make_spec: MakeSpec, directories: Directories
) -> None:
    policy = replace(QUICK, max_restarts=1, stable_after=0.5)
    plugins = with_plugin(Complains())
    spec = make_spec("--ignore-term", plugins=plugins, restart=policy, force_kill_timeout=0.6)
    async with Supervisor(spec, directories=directories) as supervisor:
        server = supervisor["fake"]
        await server.until(lambda: server.state is State.FAILED or server.generation > 2)
        assert (server.state, server.generation) == (State.FAILED, 2)


async def test_a_run_that_was_stable_gives_the_budget_back(
    make_spec: MakeSpec, directories: Directories
) -> None:
    policy = replace(QUICK, max_restarts=1, stable_after=0.1)
    spec = make_spec("--exit-after", "0.5", restart=policy)
    async with Supervisor(spec, directories=directories) as supervisor:
        server = supervisor["fake"]
        with anyio.fail_after(10):
            await server.until(lambda: server.state is State.FAILED or server.generation == 4)
        assert server.state is not State.FAILED
