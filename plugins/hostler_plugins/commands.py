"""commands: runs programs of the user on a server's hooks, with what is known of it in their environment."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial

from hostler import (
    CommandResult,
    Duration,
    EnvironmentSetupFailed,
    Exit,
    Launch,
    ServerError,
    ServerSpec,
    ServerView,
    hookimpl,
    option,
)

from hostler_plugins._option_checks import is_program

# Under the deadlines of the hooks (5 s and 2 s), so that a command is ended by us and its end is told.
_ON_CRASH, _ON_SHUTDOWN = 4.5, 1.8


@dataclass(eq=False)
class Commands:
    """Runs a command (an argv; no shell is involved) on some of the hooks.

    It runs in the server's working folder and as its user, with PATH, HOME and the like, what the server's
    plugins publish (OPENCODE_SERVER), and, as far as they are known, HOSTLER_SERVER, HOSTLER_STATE,
    HOSTLER_PID, HOSTLER_URL, HOSTLER_HOST and HOSTLER_PORT. on_crash adds HOSTLER_EXIT, HOSTLER_EXIT_CODE
    and HOSTLER_SIGNAL, on_shutdown adds HOSTLER_REASON. All its processes are ended after its time limit.
    For a command as a health check use `exec-health`.
    """

    pre_spawn: list[str] = option([], "Before every start; if it fails, the server is not started")
    on_ready: list[str] = option([], "When the server is ready, in the background")
    on_crash: list[str] = option([], "After a crash, before the restart; it has 4.5 s")
    on_shutdown: list[str] = option([], "Before the server is stopped; it has 1.8 s")
    timeout: Duration = option(
        Duration(60), "Time limit for the commands before a start and in the background"
    )

    def __post_init__(self) -> None:
        if not any((self.pre_spawn, self.on_ready, self.on_crash, self.on_shutdown)):
            raise ValueError('there is no command; set one, such as on_ready = ["notify-send", "ready"]')
        if self.timeout <= 0:
            raise ValueError('timeout: expected more than 0, such as "60s"')

    def check(self, spec: ServerSpec, launch: Launch) -> Iterator[str]:
        """For `hostler check`: which programs there are not."""
        for hook in ("pre_spawn", "on_ready", "on_crash", "on_shutdown"):
            program, *_ = getattr(self, hook) or [""]
            if program and not is_program(program, launch):
                yield f"{hook}: there is no program {program}"

    @hookimpl(specname="pre_spawn")
    async def run_before(self, server: ServerView) -> None:
        """Raise EnvironmentSetupFailed when the command fails: what it was to prepare is not there."""
        if not self.pre_spawn:
            return

        result = await server.run_command(self.pre_spawn, timeout=self.timeout)
        if result.code != 0:
            raise EnvironmentSetupFailed(
                f"the command before the start {_ending(result)}",
                server=server.name,
                hint="look at its last lines, or remove commands.pre_spawn",
                details={"code": result.code, "signal": result.signal},
                stdout=result.stdout,
                stderr=result.stderr,
            )

    @hookimpl(specname="on_ready")
    async def run_when_ready(self, server: ServerView) -> None:
        """Have the command run beside the server."""
        if self.on_ready:
            server.start_soon(partial(_run, server, "on_ready", self.on_ready, self.timeout))

    @hookimpl(specname="on_crash")
    async def run_after_crash(self, server: ServerView, exit: Exit) -> None:  # noqa: A002 - the hook's name for it
        """Run the command with how it ended."""
        if self.on_crash:
            facts = {"EXIT": exit.description, "EXIT_CODE": exit.code, "SIGNAL": exit.signal}
            known = {f"HOSTLER_{name}": str(value) for name, value in facts.items() if value is not None}
            await _run(server, "on_crash", self.on_crash, min(self.timeout, _ON_CRASH), known)

    @hookimpl(specname="on_shutdown")
    async def run_before_stop(self, server: ServerView, reason: str) -> None:
        """Run the command while the server still works."""
        if self.on_shutdown:
            limit = min(self.timeout, _ON_SHUTDOWN)
            await _run(server, "on_shutdown", self.on_shutdown, limit, {"HOSTLER_REASON": reason})


async def _run(
    server: ServerView, hook: str, argv: list[str], timeout: float, more: Mapping[str, str] | None = None
) -> None:
    """Run a command; report its failure as a notice, which changes nothing else."""
    try:
        result = await server.run_command(argv, timeout=timeout, env=server.command_env() | dict(more or {}))
    except ServerError as error:
        server.notice(
            "command_failed", f"the command on {hook} cannot be run: {error.message}", level="warning"
        )
        return

    if result.code != 0:
        server.notice(
            "command_failed", f"the command on {hook} {_ending(result)}", level="warning", hook=hook
        )


def _ending(result: CommandResult) -> str:
    """How it failed, with its last line."""
    if result.code is not None:
        how = f"ended with exit code {result.code}"
    elif result.signal is not None:
        how = f"was killed by signal {result.signal}"
    else:
        how = "timed out, and was stopped"
    return f"{how}: {result.last_line}" if result.last_line else how
