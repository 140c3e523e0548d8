"""How a command ended that was run beside a server."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class CommandResult:
    """How a command ended: `code`, or `signal`; both None when it was stopped because its time was up.

    `stdout` and `stderr` are the last 64 KiB of each, masked.
    """

    code: int | None
    signal: int | None
    stdout: str = ""
    stderr: str = ""

    @property
    def last_line(self) -> str:
        """The last line that is not empty, of stderr where there is one."""
        lines = [line.strip() for text in (self.stdout, self.stderr) for line in text.splitlines()]
        return next((line for line in reversed(lines) if line), "")
