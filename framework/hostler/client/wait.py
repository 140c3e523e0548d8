"""When what was waited for is there, or cannot come any more."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Literal

from hostler.client.errors import RequestRefused
from hostler.control.conditions import Standing
from hostler.control.server_shapes import ServerList, ServerRow

Until = Literal["ready", "healthy", "stopped", "completed", "idle"]

_LOOK_SECONDS = 0.5  # after which it is asked again what runs, of which no event tells


class Wait:
    """Looks at each snapshot until a condition has held for `stable` seconds on all servers in question."""

    def __init__(self, names: Sequence[str], until: Until, stable: float, timeout: float | None) -> None:
        self._names = names
        self._until: Until = until
        self._stable = stable
        self._timeout = timeout
        self._begin = time.monotonic()
        self._since: float | None = None

    def asks(self, snapshot: ServerList) -> list[str]:
        """The servers of which it has to be known whether something runs on them. Raises RequestRefused."""
        if self._until != "idle":
            return []
        return [row.name for row in self._chosen(snapshot) if row.state == "running"]

    def check(self, snapshot: ServerList, idle: Mapping[str, bool | None]) -> list[ServerRow] | None:
        """The rows when it has held for long enough. Raises RequestRefused and TimeoutError."""
        rows = self._chosen(snapshot)
        waiting = [row for row in rows if not _standing(row, idle.get(row.name)).fulfils(self._until)]
        now = time.monotonic()
        self._since = None if waiting else now if self._since is None else self._since
        if self._since is not None and now - self._since >= self._stable:
            return rows
        for row in waiting:
            if _standing(row).is_given_up:
                text = f"{row.state}: {_why(row)}" if _why(row) else row.state
                raise RequestRefused(row.state, 409, text, server=row.name)
        if self._timeout is not None and now - self._begin >= self._timeout:
            late = ", ".join(f"{row.name} is {row.state}" for row in waiting or rows)
            raise TimeoutError(f"not {self._until} after {self._timeout:g} s: {late}")
        return None

    def seconds_left(self) -> float | None:
        """When to look again at the latest; None for when there is news."""
        ends = [] if self._timeout is None else [self._begin + self._timeout]
        ends += [] if self._since is None else [self._since + self._stable]
        ends += [] if self._until != "idle" else [time.monotonic() + _LOOK_SECONDS]
        return max(min(ends) - time.monotonic(), 0.0) if ends else None

    def _chosen(self, snapshot: ServerList) -> list[ServerRow]:
        rows = {row.name: row for row in snapshot.servers}
        for name in self._names:
            if name not in rows:
                there = ", ".join(rows) or "none"
                text = f"there is no server {name!r}; there are: {there}"
                raise RequestRefused("not_found", 404, text)
        if self._names:
            return [rows[name] for name in self._names]
        return [row for row in rows.values() if _standing(row).counts]


def _standing(row: ServerRow, idle: bool | None = None) -> Standing:
    return Standing(row.state, row.wanted, row.completed, row.health, idle)


def _why(row: ServerRow) -> str:
    return row.reason or ("" if row.last_crash is None else row.last_crash.how)
