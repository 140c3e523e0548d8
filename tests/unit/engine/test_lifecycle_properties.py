"""Random lives of servers on the real engine, in virtual time: what must hold in every one of them.

The children are simulated (`hostler.testing`), because thousands of lives in seconds cannot be had with real
ones; what real processes do is shown by the other tests. Every rule is the witness's (engine_witness.py),
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
from engine_steps import (
    GOOD,
    Advises,
    ChildDoes,
    Nature,
    Passes,
    Restart,
    Says,
    Scene,
    Start,
    Step,
    Stop,
    Stranger,
    WaitReady,
    set_the_scene,
    take,
)
from engine_witness import left_on_disk
from hostler import Action, IdentityCheck, RestartMode, RestartPolicy, ServerSpec, State
from hostler.testing import run_virtually, settle
from hypothesis import given
from hypothesis import strategies as st

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
    st.builds(Stranger, which, st.booleans()),
    st.builds(
        Says, which, st.sampled_from(["healthy", "unhealthy", "unhealthy", "fatal", "permanent", "fault"])
    ),
    st.builds(Advises, which, st.sampled_from([None, *Action]), st.sampled_from([0.0, 1.0, math.inf])),
    st.builds(Passes, st.sampled_from([0.001, 0.05, 0.5, 1.0, 3.0, 6.0, 40.0])),
)
natures = st.lists(
    st.just(GOOD)
    | st.builds(
        Nature,
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
    st.tuples(natures, natures).map(list),
    st.tuples(st.booleans(), st.booleans()).map(list),
    st.lists(steps, min_size=8, max_size=60),
    st.sampled_from(["healed", "left", "torn"]),
)
def test_whatever_happens_the_rules_of_the_engine_hold(
    both: list[ServerSpec],
    natures: list[list[Nature]],
    health: list[bool],
    steps: list[Step],
    end: str,
) -> None:
    folder = Path(tempfile.mkdtemp(dir=MEMORY if MEMORY.exists() else None))

    async def life() -> None:
        await live(set_the_scene(both, natures, health, folder), steps, end)

    try:
        run_virtually(life)
        assert list((folder / "cache" / "temporary").iterdir()) == []
    finally:
        shutil.rmtree(folder)


async def live(scene: Scene, steps: list[Step], end: str) -> None:
    """From the first step to the end; then nothing may be left, and nobody may wait any more."""
    host = asyncio.create_task(_host(scene, steps, end))
    await settle()

    if end == "torn":
        await anyio.sleep(1.5)
        await scene.be_mortal()
        host.cancel()
        await settle()
        host.cancel()

    await asyncio.wait({host}, timeout=100_000)
    assert host.done(), "it does not end"

    if not host.cancelled():
        host.result()

    assert_released(scene)


async def _host(scene: Scene, steps: list[Step], end: str) -> None:
    async with scene.supervisor:
        try:
            for step in steps:
                await take(step, scene)

            if end == "healed":
                await _heal(scene)
        finally:
            await scene.be_mortal()


async def _heal(scene: Scene) -> None:
    """However it came: from here on everything behaves, so everything that is asked for gets ready."""
    await scene.be_mortal()
    scene.world.strangers.clear()
    scene.world.on_spawn = lambda launch: None

    for script in scene.scripts:
        script.natures = iter([GOOD] * 100)
        script.watches_health = False
        script.advice, script.shutdown_seconds = None, 0.0
        script.news.clear()

    await anyio.sleep(100)

    for index, witness in enumerate(scene.witnesses):
        if witness.server.idle():
            await take(Start(index), scene)

        with anyio.fail_after(100):
            await witness.server.wait_ready()

    await take(Passes(100), scene)
    assert not scene.commands, "a command is waiting although everything is up"


def assert_released(scene: Scene) -> None:
    """Everything that any run ever held was let go of, once."""
    own = {asyncio.current_task()}
    commands = {task for task in scene.commands if not task.done()}
    assert not commands, "a command waits for ever"
    scene.commands = {task: lambda: None for task in scene.commands}
    assert scene.look() == []
    assert {task.get_name() for task in asyncio.all_tasks() - own} == set()
    assert left_on_disk(scene.directories.state) == []
    assert [witness.living() for witness in scene.witnesses] == [[], []]
    assert {witness.state for witness in scene.witnesses} <= {State.STOPPED, State.FAILED}
    assert [script.open_streams for script in scene.scripts] == [0, 0]
    held = Counter((held.what, held.released) for script in scene.scripts for held in script.held)
    assert {released for _, released in held} <= {1}, held
