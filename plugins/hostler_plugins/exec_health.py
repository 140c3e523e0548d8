"""exec-health: a server is healthy while a command says so by its exit code."""

from __future__ import annotations

import signal
from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing
from dataclasses import dataclass, field

from hostler import (
    CommandResult,
    Healthy,
    Launch,
    PollOptions,
    PortInUse,
    Report,
    Secret,
    ServerError,
    ServerSpec,
    ServerView,
    Unhealthy,
    hookimpl,
    is_secret_name,
    option,
    poll,
)

from hostler_plugins._connections import holds_secret, verify_place
from hostler_plugins._option_checks import is_program

_STOPPING = 5.0  # seconds beyond the timeout, in which the tree of a command is ended
_SHOWN = 500


@dataclass(eq=False)
class ExecHealth(PollOptions):
    """Runs a command: exit code 0 is healthy; otherwise its last line is the reason.

    The command is an argv; no shell is involved. It runs in the server's working folder and as its user,
    with a short safe list of variables (PATH, HOME, LANG and the like), what plugins publish
    (OPENCODE_SERVER), and HOSTLER_SERVER, HOSTLER_PID, HOSTLER_URL, HOSTLER_HOST and HOSTLER_PORT. All
    processes that it started are ended with it.
    """

    command: list[str] = option(..., 'The argv, such as ["redis-cli", "-p", "${server.port}", "ping"]')
    env: dict[str, str | Secret] = option(
        {}, 'Additional variables, such as { PGPASSWORD = { secret = "env:PGPASSWORD" } }', secret=True
    )

    _env: dict[str, str] = field(init=False, default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        if not self.command or not self.command[0]:
            raise ValueError('command: expected an argv, such as ["pg_isready", "-q"]')
        super().__post_init__()

    def check(self, spec: ServerSpec, launch: Launch) -> Iterator[str]:
        """For `hostler check`: why the command could not be run."""
        if not is_program(self.command[0], launch):
            yield f"there is no program {self.command[0]} for exec-health"

    @hookimpl
    async def pre_spawn(self, launch: Launch) -> None:
        """Read what is secret of the variables."""
        self._env = {
            name: launch.read_secret(value) if isinstance(value, Secret) else value
            for name, value in self.env.items()
        }

    @hookimpl
    async def health_check(self, server: ServerView) -> AsyncGenerator[Report, None]:
        """Run the command, and report each result."""
        # A command that hangs in the start leaves time for two more.
        patience = min(self.timeout, server.spec.startup_timeout / 3)
        reports = poll(
            lambda: self._ask(server, patience),
            interval=self.interval,
            timeout=self.timeout + _STOPPING,
            successes=self.successes,
            failures=self.failures,
        )
        async with aclosing(reports):
            async for report in reports:
                patience = self.timeout if isinstance(report, Healthy) else patience
                yield report

    async def _ask(self, server: ServerView, timeout: float) -> Report:
        try:
            self._verify(server)
        except PortInUse as error:
            return Unhealthy(f"{self.command[0]} is not run: {error.message}")
        except OSError as error:
            return Unhealthy(f"{self.command[0]} is not run: {error.strerror or error}")

        try:
            result = await server.run_command(
                self.command, timeout=timeout, env=server.command_env() | self._env
            )
        except ServerError as error:
            return Unhealthy(error.message, permanent=error.permanent, error=error)

        if result.code == 0:
            return Healthy({"command": self.command[0]})

        said = result.last_line[:_SHOWN]
        return Unhealthy(f"{self.command[0]}: {_ending(result, timeout)}" + (f": {said}" if said else ""))

    def _verify(self, server: ServerView) -> None:
        """Raise where the command would hand a password or a secret variable to a foreign listener."""
        if (place := getattr(server, "endpoint", None)) is not None:
            secret = getattr(server, "auth", None) is not None or any(
                isinstance(value, Secret) or is_secret_name(name) or holds_secret(server, value)
                for name, value in self.env.items()
            )
            verify_place(server, place, secret=secret)


def _ending(result: CommandResult, timeout: float) -> str:
    if result.code is not None:
        return f"exit code {result.code}"
    if result.signal is not None:
        names = {number.value: number.name for number in signal.Signals}
        return f"killed by {names.get(result.signal, f'signal {result.signal}')}"
    return f"no result within {timeout:g} s"
