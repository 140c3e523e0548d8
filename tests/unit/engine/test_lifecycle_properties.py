"""Random lives of servers on the real engine, in virtual time: what must hold in every one of them.

The children are simulated (`hostler.testing`), because thousands of lives in seconds cannot be had with real
ones; what real processes do is shown by the other tests. The rules are in lifecycle_invariants.py,
which knows the design and not the engine.
"""

from __future__ import annotations

import asyncio
import math
import shutil
import tempfile
from collections import Counter
from pathlib import Path

import anyio
from hostler import Action, IdentityCheck, RestartMode, RestartPolicy, ServerSpec, State
from hostler.testing import run_virtually, settle
from hypothesis import given
from hypothesis import strategies as st
from lifecycle_invariants import left_on_disk
from lifecycle_steps import (
    GOOD,
    Advises,
    ChildDoes,
    ForeignListener,
    Reports,
    Restart,
    RunBehavior,
    Simulation,
    Start,
    Step,
    Stop,
    TimePasses,
    WaitReady,
    build_simulation,
    run_step,
)

MEMORY = Path("/dev/shm")  # a disk would take more time than all the rest

which = st.integers(0, 1)
steps: st.SearchStrategy[Step] = st.one_of(
    st.builds(Start, which),
    st.builds(Stop, which, st.booleans()),
    st.builds(Restart, which, st.none() | st.integers(0, 2)),
    st.builds(WaitReady, which),
    st.builds(ChildDoes, which, st.just("exit"), st.sampled_from([0, 1, 3])),
    st.builds(
        ChildDoes,
        which,
        st.sampled_from(["die", "die", "announce", "listen", "listen with a worker", "let go"]),
    ),
    st.builds(ForeignListener, which, st.booleans()),
    st.builds(
        Reports, which, st.sampled_from(["healthy", "unhealthy", "unhealthy", "fatal", "permanent", "fault"])
    ),
    st.builds(Advises, which, st.sampled_from([None, *Action]), st.sampled_from([0.0, 1.0, math.inf])),
    st.builds(TimePasses, st.sampled_from([0.001, 0.05, 0.5, 1.0, 3.0, 6.0, 40.0])),
)
behaviors = st.lists(
    st.just(GOOD)
    | st.builds(
        RunBehavior,
        prepare=st.sampled_from(["at once", "at once", "slow", "fails", "hangs"]),
        spawn=st.sampled_from(["works", "works", "works", "temporary", "permanent"]),
        announces=st.booleans(),
        listens=st.booleans(),
        ends_with=st.sampled_from([None, None, 0, 1]),
        lives=st.sampled_from([0.0, 0.1, 3.0]),
        ends_after=st.sampled_from([0.0, 0.5, math.inf]),
        helpers=st.integers(0, 2),
        immortal=st.sampled_from([False, False, False, True]),
        stranger=st.sampled_from([False, False, False, False, True]),
    ),
    max_size=6,
)
policies = st.builds(
    RestartPolicy,
    policy=st.sampled_from([RestartMode.ON_FAILURE, *RestartMode]),
    max_restarts=st.integers(0, 3),
    initial_delay=st.sampled_from([0.0, 0.5]),
    max_delay=st.sampled_from([0.5, 4.0]),
    stable_after=st.sampled_from([2.0, 10.0]),
    start_retries=st.integers(0, 1),
)


def specs(name: str, needs: tuple[str, ...]) -> st.SearchStrategy[ServerSpec]:
    return st.builds(
        ServerSpec,
        name=st.just(name),
        command=st.just(("simulated",)),
        cwd=st.just(Path("/")),
        port=st.sampled_from([0, 0, 0, None, {"db": 4000, "web": 5000}[name]]),
        prepare_timeout=st.just(20.0),
        startup_timeout=st.just(5.0),
        force_kill_timeout=st.sampled_from([0.0, 2.0]),
        max_connection_failures=st.integers(1, 3),
        restart=policies,
        needs=st.just(needs),
        autostart=st.just(False),
        identity=st.sampled_from([IdentityCheck.REQUIRE, IdentityCheck.CHECK]),
        memory_interval=st.sampled_from([0.0, 7.0]),
    )


both = st.tuples(specs("db", ()), specs("web", ("db",)) | specs("web", ())).map(list)


@given(
    both,
    st.tuples(behaviors, behaviors).map(list),
    st.tuples(st.booleans(), st.booleans()).map(list),
    st.lists(steps, min_size=8, max_size=60),
    st.sampled_from(["healed", "left", "torn"]),
)
def test_whatever_happens_the_rules_of_the_engine_hold(
    both: list[ServerSpec],
    behaviors: list[list[RunBehavior]],
    health: list[bool],
    steps: list[Step],
    end: str,
) -> None:
    folder = Path(tempfile.mkdtemp(dir=MEMORY if MEMORY.exists() else None))

    async def life() -> None:
        await live(build_simulation(both, behaviors, health, folder), steps, end)

    try:
        run_virtually(life)
        assert list((folder / "cache" / "temporary").iterdir()) == []
    finally:
        shutil.rmtree(folder)


async def live(simulation: Simulation, steps: list[Step], end: str) -> None:
    """From the first step to the end; then nothing may be left, and nobody may wait any more."""
    host = asyncio.create_task(_host(simulation, steps, end))
    await settle()

    if end == "torn":
        await anyio.sleep(1.5)
        await simulation.let_children_die()
        host.cancel()
        await settle()
        host.cancel()

    await asyncio.wait({host}, timeout=100_000)
    assert host.done(), "it does not end"

    if not host.cancelled():
        host.result()

    assert_released(simulation)


async def _host(simulation: Simulation, steps: list[Step], end: str) -> None:
    async with simulation.supervisor:
        try:
            for step in steps:
                await run_step(step, simulation)
            if end == "healed":
                await _heal(simulation)
        finally:
            await simulation.let_children_die()


async def _heal(simulation: Simulation) -> None:
    """However it came: from here on everything behaves, so everything that is asked for gets ready."""
    await simulation.let_children_die()
    simulation.world.strangers.clear()
    simulation.world.on_spawn = lambda launch: None

    for script in simulation.scripts:
        script.behaviors = iter([GOOD] * 100)
        script.watches_health = False
        script.advice, script.shutdown_seconds = None, 0.0
        script.pending.clear()

    await anyio.sleep(100)

    for index, checker in enumerate(simulation.checkers):
        if checker.server.is_settled():
            await run_step(Start(index), simulation)
        with anyio.fail_after(100):
            await checker.server.wait_ready()

    await run_step(TimePasses(100), simulation)
    assert not simulation.commands, "a command is waiting although everything is up"


def assert_released(simulation: Simulation) -> None:
    """Everything that any run ever held was let go of, once."""
    own = {asyncio.current_task()}
    commands = {task for task in simulation.commands if not task.done()}
    assert not commands, "a command waits for ever"
    simulation.commands = {task: lambda: None for task in simulation.commands}
    assert simulation.find_violations() == []
    assert {task.get_name() for task in asyncio.all_tasks() - own} == set()
    assert left_on_disk(simulation.directories.state) == []
    assert [checker.living() for checker in simulation.checkers] == [[], []]
    assert {checker.state for checker in simulation.checkers} <= {State.STOPPED, State.FAILED}
    assert [script.open_streams for script in simulation.scripts] == [0, 0]
    held = Counter((held.what, held.released) for script in simulation.scripts for held in script.held)
    assert {released for _, released in held} <= {1}, held
