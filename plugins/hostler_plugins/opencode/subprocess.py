"""Runs npm and bun to their end: with a deadline, cancellable, leaving nothing behind."""

from __future__ import annotations

import os
import signal
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import anyio

_TAIL_BYTES = 4000


@dataclass(frozen=True, slots=True)
class Outcome:
    """The end of a tool: its exit code (negative for a signal, None after its deadline) and what it said."""

    code: int | None
    stdout: str
    stderr: str

    @property
    def text(self) -> str:
        """The last of what it said, errors before the rest."""
        return (self.stderr.strip() or self.stdout.strip())[-_TAIL_BYTES:]

    @property
    def how(self) -> str:
        """The end in words."""
        if self.code is None:
            return "did not finish in time"
        if self.code >= 0:
            return f"ended with exit code {self.code}"
        names = {one.value: one.name for one in signal.Signals}
        return f"was killed by {names.get(-self.code, f'signal {-self.code}')}"


async def run_tool(argv: Sequence[str], *, cwd: Path, env: Mapping[str, str], deadline: float) -> Outcome:
    """Run a tool in a session of its own; at the deadline (seconds) or when cancelled its session is killed.

    OSError when it cannot be executed.
    """
    # Files, not pipes: a grandchild that keeps them open cannot make us wait.
    with tempfile.TemporaryFile() as stdout, tempfile.TemporaryFile() as stderr:
        process = await anyio.open_process(
            argv, cwd=cwd, env=env, stdin=-3, stdout=stdout, stderr=stderr, start_new_session=True
        )
        try:
            with anyio.move_on_after(deadline):
                await process.wait()
        finally:
            if process.returncode is None:
                _kill_session(process.pid)
                with anyio.CancelScope(shield=True):
                    await process.wait()
                    code = None
            else:
                code = process.returncode
        return Outcome(code, _read(stdout), _read(stderr))


def _kill_session(pid: int) -> None:
    with suppress(ProcessLookupError):
        os.killpg(pid, signal.SIGKILL)


def _read(file: object) -> str:
    file.seek(0)  # type: ignore[attr-defined]
    data: bytes = file.read()  # type: ignore[attr-defined]
    return data.decode(errors="replace")
