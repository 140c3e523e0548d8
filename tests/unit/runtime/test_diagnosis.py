"""A wait that takes too long says what is known at that moment, in whatever state the server is."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass
from pathlib import Path

import anyio
import pytest
from hostler import (
    Directories,
    Need,
    PluginSpec,
    Report,
    RestartPolicy,
    Server,
    ServerError,
    ServerSpec,
    ServerView,
    StartupTimeout,
    State,
    Supervisor,
    Unhealthy,
    hookimpl,
)
from specs import MakeSpec, announced

PATIENT = RestartPolicy(initial_delay=60.0, max_delay=60.0)


@dataclass(eq=False)
class Downloads:
    """Says what it does in pre_spawn, and never ends it."""

    @hookimpl
    async def pre_spawn(self, server: ServerView) -> None:
        server.progress("downloading it", 0.45)
        await anyio.sleep_forever()


@dataclass(eq=False)
class Refuses:
    """Reports one reason, and waits."""

    @hookimpl
    async def health_check(self, server: ServerView) -> AsyncGenerator[Report, None]:
        server.redact("pa55word")
        yield Unhealthy("GET /health as pa55word: 503")
        await anyio.sleep_forever()


def silent(make_spec: MakeSpec, _folder: Path) -> ServerSpec:
    return make_spec("--port", "0", "--no-announce", "--print-error", "no database here")


def unhealthy(make_spec: MakeSpec, _folder: Path) -> ServerSpec:
    return make_spec(plugins=(announced(), PluginSpec("refuses", instance=Refuses())))


def preparing(make_spec: MakeSpec, _folder: Path) -> ServerSpec:
    return make_spec(plugins=(PluginSpec("downloads", instance=Downloads()),))


def backing_off(make_spec: MakeSpec, _folder: Path) -> ServerSpec:
    return make_spec("--print-error", "disk full", "--exit-after", "0", "--exit-code", "3", restart=PATIENT)


def tried_again(make_spec: MakeSpec, folder: Path) -> ServerSpec:
    once = f"test -e {folder}/tried || {{ touch {folder}/tried; echo no key >&2; exit 4; }}; exec sleep 100"
    return make_spec(command=("sh", "-c", once))


def silent_again(make_spec: MakeSpec, _folder: Path) -> ServerSpec:
    often = RestartPolicy(initial_delay=0.01, max_delay=0.01, start_retries=1000)
    return make_spec("--port", "0", "--no-announce", startup_timeout=0.5, restart=often)


@pytest.mark.parametrize(
    ("made", "state", "known"),
    [
        (silent, State.WAITING_READY, ["never told where the server listens", "no database here"]),
        (unhealthy, State.WAITING_READY, ["up (pid ", "at http://", "refuses: GET /health as ********: 503"]),
        (preparing, State.STARTING, ["plugin downloads", "downloading it (45%)", "prepare_timeout"]),
        (backing_off, State.BACKOFF, ["exit code 3", "the next one (2 of 2) begins in ", "disk full"]),
        (silent_again, State.WAITING_READY, ["never told", "; the previous attempt failed the same way"]),
        (tried_again, State.WAITING_READY, ["never told", "the previous attempt failed", "exit code 4"]),
    ],
)
async def test_a_wait_that_takes_too_long_says_what_is_known(
    make_spec: MakeSpec,
    directories: Directories,
    tmp_path: Path,
    made: Callable[[MakeSpec, Path], ServerSpec],
    state: State,
    known: list[str],
) -> None:
    async with Supervisor(made(make_spec, tmp_path), directories=directories) as supervisor:
        await says(supervisor["fake"], f"not ready after 0.05 s; it is {state.value}: ", *known)


async def test_a_wait_for_one_that_waits_for_another_says_why_that_one_is_not_ready(
    make_spec: MakeSpec, directories: Directories
) -> None:
    web = make_spec(name="web", needs=(Need("fake"),))
    async with Supervisor([silent(make_spec, Path()), web], directories=directories) as supervisor:
        known = "it waits for fake, which is waiting_ready (the output never told where"
        await says(supervisor["web"], known, "look at fake first")


async def test_of_several_the_error_tells_of_each(make_spec: MakeSpec, directories: Directories) -> None:
    specs = [make_spec("--port", "0", "--no-announce", name=name) for name in "ab"]
    async with Supervisor(specs, directories=directories) as supervisor:
        with pytest.raises(StartupTimeout, match="a: not ready") as caught:
            await supervisor.wait_ready(timeout=0.05)
    (note,) = caught.value.__notes__
    assert note.startswith("b: not ready")


async def test_a_wait_after_the_end_of_the_block_says_so(
    make_spec: MakeSpec, directories: Directories
) -> None:
    async with Supervisor(make_spec(), directories=directories) as supervisor:
        pass
    with pytest.raises(ServerError, match="its supervisor does not run"):
        await supervisor["fake"].wait_ready(1)


async def says(server: Server, *known: str) -> None:
    """Wait until the error of a wait that takes too long holds all of this."""
    text = ""
    with anyio.move_on_after(20):
        while not all(part in text for part in known):
            with pytest.raises(StartupTimeout) as caught:
                await server.wait_ready(0.05)
            text = str(caught.value)
    assert [part for part in known if part not in text] == [], text
