"""How children die, and those that cannot be started."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from hostler import (
    Directories,
    Launch,
    ProcessSpawnFailed,
    ServerError,
    ServerSpec,
    State,
    Supervisor,
)
from leaks import assert_no_leaks
from specs import QUICK, MakeSpec, announced, worker
from supervised_servers import exits_of, reaches

NO_RETRY = replace(QUICK, start_retries=0)


@pytest.fixture(autouse=True)
def no_trace_is_left(directories: Directories) -> Iterator[None]:
    with assert_no_leaks(directories):
        yield


# -- how they die -----------------------------------------------------------------------------


HARMLESS = {"SIGCHLD", "SIGCONT", "SIGSTOP", "SIGTSTP", "SIGTTIN", "SIGTTOU", "SIGURG", "SIGWINCH"}
DEADLY = [one for one in signal.Signals if one.name not in HARMLESS] + [int(signal.SIGRTMIN) + 3]


@pytest.mark.requirement("R23")
@pytest.mark.parametrize("number", DEADLY, ids=lambda number: f"signal-{int(number)}")
async def test_a_death_by_any_signal_is_told_as_that_signal(
    make_spec: MakeSpec, directories: Directories, number: int
) -> None:
    script = f"ulimit -c 0; kill -{int(number)} $$$$; exit 99"
    spec = worker(make_spec, "sh", "-c", script, restart=replace(QUICK, max_restarts=0))
    async with Supervisor(spec, directories=directories) as supervisor:
        exits = exits_of(supervisor)
        await reaches(supervisor["fake"], State.FAILED)
        error = supervisor["fake"].error

    name = number.name if isinstance(number, signal.Signals) else f"signal {number}"
    assert [(exit_.signal, exit_.code, exit_.killed) for exit_ in exits] == [(number, None, False)]
    assert error is not None
    assert f"killed by {name}" in error.message


# -- those that cannot be started ----------------------------------------------------------------


async def refused(spec: ServerSpec, directories: Directories) -> ServerError:
    """Why it is not started; one attempt only is made."""
    async with Supervisor(spec, directories=directories) as supervisor:
        with pytest.raises(ServerError) as caught:
            await supervisor["fake"].wait_ready(20)
        assert supervisor["fake"].state is State.FAILED
        assert supervisor["fake"].generation == 1
        assert "fake" in str(caught.value)
        return caught.value


async def test_a_script_without_a_shebang_is_refused_with_what_to_do(
    make_spec: MakeSpec, directories: Directories, tmp_path: Path
) -> None:
    script = tmp_path / "serve"
    script.write_text("echo hello\n")
    script.chmod(0o755)
    error = await refused(worker(make_spec, str(script)), directories)
    assert isinstance(error, ProcessSpawnFailed)
    assert "#!" in str(error)


async def test_a_file_that_is_not_executable_is_refused_with_what_to_do(
    make_spec: MakeSpec, directories: Directories, tmp_path: Path
) -> None:
    script = tmp_path / "serve"
    script.write_text("#!/bin/sh\necho hello\n")
    script.chmod(0o644)
    error = await refused(worker(make_spec, str(script)), directories)
    assert isinstance(error, ProcessSpawnFailed)
    assert "executable" in str(error)
    assert "chmod" in error.context.hint


async def test_a_directory_is_refused_as_a_program(
    make_spec: MakeSpec, directories: Directories, tmp_path: Path
) -> None:
    error = await refused(worker(make_spec, str(tmp_path)), directories)
    assert isinstance(error, ProcessSpawnFailed)
    assert "directory" in str(error)


@dataclass(eq=False)
class TakesAway:
    """Removes the program each time that the tools in front of it are chosen."""

    program: Path

    def __call__(self, launch: Launch, account: object) -> Any:
        from hostler.process.spawn.privileges import build_prefix

        self.program.unlink()
        return build_prefix(launch, account)  # type: ignore[arg-type]


async def test_a_program_that_goes_between_the_check_and_the_spawn_is_told(
    make_spec: MakeSpec, directories: Directories, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = tmp_path / "serve"
    script.write_text("#!/bin/sh\nsleep 300\n")
    script.chmod(0o755)
    # The moment between cannot be hit at will.
    monkeypatch.setattr("hostler.process.spawn.spawn.build_prefix", TakesAway(script))
    spec = make_spec(command=(str(script),), plugins=(announced(),), restart=NO_RETRY)
    async with Supervisor(spec, directories=directories) as supervisor:
        with pytest.raises(ServerError) as caught:
            await supervisor["fake"].wait_ready(20)

    assert "No such file or directory" in str(caught.value)
    assert str(script) in str(caught.value)
