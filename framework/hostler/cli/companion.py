"""The companion command of `hostler run -- CMD`: it runs beside the servers, at our terminal."""

from __future__ import annotations

import asyncio
import os
import re
import sys
from collections.abc import Collection, Sequence
from contextlib import AbstractContextManager, nullcontext, suppress
from pathlib import Path

from hostler.cli.job_control import JobControl
from hostler.cli.output.views import View
from hostler.cli.safe_streams import write_line
from hostler.process.tree.run_mark import lent_mark, mark_option, read_mark
from hostler.supervisor.handle import Server

NOT_FOUND, NOT_EXECUTABLE = 127, 126
_MARK = "companion"


class Companion:
    """Runs the command and passes signals on to it."""

    def __init__(self, argv: Sequence[str], view: View) -> None:
        self._argv = argv
        self._view = view
        self._jobs = JobControl()
        self._process: asyncio.subprocess.Process | None = None

    @property
    def pid(self) -> int | None:
        """The pid of the command, None before its start."""
        return None if self._process is None else self._process.pid

    async def start(
        self, servers: Collection[Server], names: Sequence[str], prefix: Sequence[str] = ()
    ) -> int:
        """Start it with the addresses of the servers; an exit code as of a shell where it cannot be run.

        `names` are those of the call, `prefix` stands in front of the command.
        """
        env = os.environ | addresses(servers, names)
        try:
            with _marked():
                start = asyncio.create_subprocess_exec(*prefix, *self._argv, env=env, **self._jobs.options)
                self._process = await start
        except FileNotFoundError:
            self._view.show_message(f"{self._argv[0]}: no such program", error=True)
            return NOT_FOUND
        except OSError as error:
            self._view.show_message(f"{self._argv[0]}: {error.strerror}", error=True)
            return NOT_EXECUTABLE

        self._view.stop_spinner()
        self._jobs.give_terminal(self._process.pid)
        return 0

    async def wait(self) -> int:
        """Wait for its end; its exit code, for a signal that of a shell."""
        assert self._process is not None
        code = await self._process.wait()
        self._jobs.take_back_terminal(code)
        return code if code >= 0 else 128 - code

    def send_signal(self, number: int) -> None:
        """Send it a signal that hostler got, unless the terminal has sent it to both."""
        process = self._process
        if process is not None and process.returncode is None and not self._jobs.has_received(number):
            with suppress(ProcessLookupError):
                process.send_signal(number)

    def on_child_signal(self) -> None:
        """Stop where it was stopped at the terminal; called on each SIGCHLD."""
        self._jobs.follow_stop()


def _marked() -> AbstractContextManager[None]:
    """Mark what is started, as a server is: what it leaves behind in our session is ours to reap.

    Inside a server of another hostler its mark is kept.
    """
    return lent_mark(_MARK) if mark_option(_MARK, ()) and not read_mark(os.getpid()) else nullcontext()


def addresses(servers: Collection[Server], names: Sequence[str]) -> dict[str, str]:
    """What plugins publish, and HOSTLER_URL_NAME of each server.

    HOSTLER_URL is that of the one that was named, or that there is; of several none.
    """
    env: dict[str, str] = {}
    meant = list(names) or [server.name for server in servers]

    for server in servers:
        env |= server.child_env({})
        if server.url is not None:
            name = re.sub(r"[^A-Z0-9]", "_", server.name.upper())
            env[f"HOSTLER_URL_{name}"] = server.url
            if meant == [server.name]:
                env["HOSTLER_URL"] = server.url

    return env


def refuse_missing_program(program: str, *, may_be_built: bool) -> None:
    """End as a shell would for a program that is not there; a task may be what builds it, at a path."""
    from shutil import which  # noqa: PLC0415 - only who has a command needs it

    is_path = "/" in program
    if which(program) is not None or (is_path and may_be_built):
        return
    exists = is_path and Path(program).exists()
    write_line(sys.stderr, f"{program}: {'Permission denied' if exists else 'no such program'}")
    raise SystemExit(NOT_EXECUTABLE if exists else NOT_FOUND)
