"""Each way to fail is reached by a real cause, and tells it."""

from __future__ import annotations

import socket
from collections.abc import Callable
from pathlib import Path

import anyio
import pytest
from cli_project import NOTHING, Freezer, Project, five_plugins
from hostler import (
    EnvironmentSetupFailed,
    EventStreamConnectionFailed,
    ForceKillTimeout,
    InvalidConfiguration,
    LogFileCreationFailed,
    PluginError,
    PluginSpec,
    PortInUse,
    PortParsingFailed,
    ProcessAlreadyRunning,
    ProcessSpawnFailed,
    ServerCrashed,
    ServerError,
    ServerSpec,
    StartupTimeout,
    State,
    Supervisor,
)

NO_RESTART = {"policy": "never", "start_retries": 0}
TALKATIVE = ("--print", "words on stdout", "--print-error", "words on stderr")


def told(world: Project, *switches: str, **keys: object) -> Path:
    return world.fake(*TALKATIVE, *switches, **{"restart": NO_RESTART, "startup_timeout": "1500ms", **keys})  # type: ignore[arg-type]


CAUSES: dict[type[ServerError], Callable[[Project], Path]] = {
    StartupTimeout: lambda world: told(world, "--no-listen"),
    EventStreamConnectionFailed: lambda world: told(world, "--events", "status", "500"),
    ServerCrashed: lambda world: told(world, "--exit-after", "0", "--exit-code", "3"),
    PortParsingFailed: lambda world: told(world, "--port", "0", "--no-announce"),
}
"""What fails with a process that has printed."""

BEFORE: dict[type[ServerError], Callable[[Project], Path]] = {
    ProcessSpawnFailed: lambda world: told(world, cwd=str(world.home / "missing")),
    LogFileCreationFailed: lambda world: told(
        world, plugins=five_plugins(log_rotation={"path": "/proc/nowhere/fake.log"})
    ),
    EnvironmentSetupFailed: lambda world: told(
        world, env={"TOKEN": {"secret": f"file:{world.home}/missing"}}
    ),
}
"""What fails before anything is started."""


async def failure(world: Project, file: Path, wanted: type[ServerError]) -> ServerError:
    world.environ["GITHUB_TOKEN"] = "ghp_0123456789abcdef"
    async with world.supervisor(file) as supervisor:
        with pytest.raises(wanted) as caught:
            await supervisor["fake"].wait_ready(20)
    assert type(caught.value) is wanted
    assert world.what_is_left() == NOTHING
    return caught.value


@pytest.mark.requirement("R28", "R29")
@pytest.mark.parametrize("wanted", CAUSES, ids=lambda kind: kind.__name__)
async def test_a_failed_server_tells_its_last_words(wanted: type[ServerError], world: Project) -> None:
    error = await failure(world, CAUSES[wanted](world), wanted)
    assert error.context.server == "fake"
    assert error.context.message
    assert error.context.hint
    assert "words on stdout" in error.context.stdout
    assert "words on stderr" in error.context.stderr
    assert "words on stderr" in str(error)


@pytest.mark.requirement("R29")
async def test_the_message_has_the_last_lines_of_stderr(world: Project) -> None:
    complaints = [word for number in range(12) for word in ("--print-error", f"complaint {number:02}")]
    file = told(world, *complaints, "--exit-after", "0", "--exit-code", "3")
    text = str(await failure(world, file, ServerCrashed))
    assert "complaint 11" in text
    assert "complaint 04" in text
    assert "complaint 03" not in text
    assert "words on stdout" not in text


@pytest.mark.requirement("R28")
@pytest.mark.parametrize("wanted", BEFORE, ids=lambda kind: kind.__name__)
async def test_a_start_that_cannot_be_tells_why(wanted: type[ServerError], world: Project) -> None:
    error = await failure(world, BEFORE[wanted](world), wanted)
    assert error.context.server == "fake"
    assert error.context.message
    assert error.context.hint
    assert error.context.details
    assert (error.context.stdout, error.context.stderr) == ("", "")


@pytest.mark.requirement("R28")
async def test_a_port_in_use_tells_who_uses_it(world: Project) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        error = await failure(world, told(world, port=port), PortInUse)
    assert str(port) in str(error)
    assert error.context.stderr or error.context.details


@pytest.mark.requirement("R28")
async def test_a_wrong_configuration_and_a_second_start_are_errors_of_their_own(world: Project) -> None:
    with pytest.raises(InvalidConfiguration) as wrong:
        world.load(world.fake(port=-1))

    assert wrong.value.context.details["problems"] == [str(wrong.value.problems[0])]

    async with world.supervisor(world.fake(*TALKATIVE)) as supervisor:
        await supervisor["fake"].wait_ready(20)
        with pytest.raises(ProcessAlreadyRunning, match="pid") as again:
            await supervisor["fake"].start()
        assert again.value.context.details["url"] == supervisor["fake"].url
        assert "words on stderr" in again.value.context.stderr


BROKEN = """
from dataclasses import dataclass
from hostler import hookimpl

@dataclass(eq=False)
class Broken:
    def __post_init__(self):
        raise RuntimeError("of the plugin")

    @hookimpl
    async def on_ready(self):
        pass
"""


@pytest.mark.requirement("R28")
async def test_a_broken_plugin_is_an_error_of_its_own(world: Project) -> None:
    world.write(BROKEN, "broken.py")

    with pytest.raises(InvalidConfiguration, match="of the plugin"):
        world.load(world.fake(plugins={"mine": {"use": "broken.py:Broken"}}))

    # A program that brings specs of its own meets it at the start.
    plugin = PluginSpec("mine", use="broken.py:Broken", base=world.project)
    spec = ServerSpec(name="own", command=("true",), port=None, plugins=(plugin,))
    async with Supervisor(spec, directories=world.directories, environ=world.environ) as supervisor:
        with pytest.raises(PluginError, match="of the plugin"):
            await supervisor["own"].wait_ready(20)


@pytest.mark.requirement("R28")
async def test_what_outlives_sigkill_is_told_by_pid(world: Project, freezer: Freezer) -> None:
    async with world.supervisor(world.fake(*TALKATIVE, force_kill_timeout="200ms")) as supervisor:
        server = supervisor["fake"]
        await server.wait_ready(20)
        assert server.pid is not None
        freezer.freeze(server.pid)
        with pytest.raises(ForceKillTimeout) as caught:
            await server.stop()
        context = caught.value.context
        assert context.details["pids"] == [server.pid]
        assert "words on stderr" in context.stderr
        assert server.state is State.STOPPING
        freezer.thaw()
        with anyio.fail_after(20):
            await server.wait_stopped()

    assert world.what_is_left() == NOTHING


@pytest.mark.requirement("R29", "R35")
async def test_no_secret_is_in_an_error(world: Project) -> None:
    secret = "sk-0123456789abcdef"
    env = {"MY_API_KEY": secret}
    plugins = five_plugins(env_sanitizer={"allow": ["MY_API_KEY"]})
    file = told(
        world, "--port", "0", "--no-announce", "--print-secret-split", "MY_API_KEY", env=env, plugins=plugins
    )
    error = await failure(world, file, PortParsingFailed)
    assert "the password is ********" in error.context.stdout
    assert secret not in f"{error} {error!r} {error.context} {error.args}"


@pytest.mark.requirement("R28", "R29")
def test_the_command_line_tells_a_failure_with_last_words_and_fails(world: Project) -> None:
    command = world.hostler("run", CAUSES[ServerCrashed](world))
    assert command.end() == 1
    told_lines = "\n".join(command.err)
    assert "exit code 3" in told_lines
    assert "words on stderr" in told_lines
    assert "what to do" in told_lines
