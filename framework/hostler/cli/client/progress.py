"""Waiting until servers are as asked, by the events of their hostler."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from typing import Any

from hostler.cli.client.daemon import ClientError, Daemon, Deadline
from hostler.cli.client.rows import Row, rows_to_wait_for, standing, state_of

_PLAIN = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_"

_MOMENT = 0.5  # seconds


class Waiting:
    """Waits for the servers `names` (all that are wanted, without names) to fulfil a condition."""

    def __init__(self, daemon: Daemon, names: Sequence[str], condition: str) -> None:
        self._daemon = daemon
        self._names = names
        self._what = condition

    def run(self, deadline: Deadline, stable: float = 0.0, after: dict[str, int] | None = None) -> list[Row]:
        """Return their rows when it has held for `stable` seconds without a break. Raises ClientError.

        It is raised as soon as one is given up, and when the time is over. With `after` only runs count that
        are later than those generations.
        """
        rows, cursor = self._look()
        events = self._daemon.follow(f"/v1/events?after={cursor}")
        since = None
        while True:
            waiting = [row for row in rows if not self._is_done(row, after or {})]
            since = None if waiting else since or time.monotonic()
            if since is not None and time.monotonic() - since >= stable:
                return rows
            self._refuse_given_up(waiting)
            if deadline.is_over():
                raise self._late(waiting or rows, deadline.seconds or 0.0)
            if self._is_broken(events, {row["name"] for row in rows}):
                since = None
            rows, _ = self._look()

    def _is_broken(self, events: Iterator[dict[str, Any] | None], names: set[str]) -> bool:
        """Wait for an event of these, or a moment; whether it tells what no look at the rows may show."""
        begun = time.monotonic()
        for event in events:
            if event is not None and "missed" in event:
                return True
            if event is not None and event["server"] in names and event["event"] in {"state", "health"}:
                return event["event"] == "state" or (self._what == "healthy" and event["healthy"] is not True)
            if event is None or time.monotonic() - begun >= _MOMENT:
                break
        return False

    def _is_done(self, row: Row, after: dict[str, int]) -> bool:
        return standing(row).fulfils(self._what) and row["generation"] > after.get(row["name"], -1)

    def _look(self) -> tuple[list[Row], str]:
        answer = self._daemon.get("/v1/servers")
        rows = rows_to_wait_for(answer["servers"], self._names)
        for row in rows if self._what == "idle" else ():
            row.update(self._daemon.get(f"/v1/servers/{quoted(row['name'])}/work"))
        return rows, answer["cursor"]

    def _refuse_given_up(self, rows: Sequence[Row]) -> None:
        for row in rows:
            if standing(row).is_given_up:
                hint = self._newest_crash(row).get("hint", "")
                more = {"hint": hint} if hint else {}
                raise ClientError(row["state"], self._why(row), server=row["name"], **more)

    def _late(self, rows: Sequence[Row], seconds: float) -> ClientError:
        row = rows[0]
        return ClientError(
            "timed_out", f"not {self._what} after {seconds:g} s: {self._why(row)}", server=row["name"]
        )

    def _why(self, row: Row) -> str:
        restarts, crash = row["restarts"], row["last_crash"]
        text = state_of(row)
        if row["state"] == "backoff":
            text += f", {restarts['used']} of {restarts['allowed']} restarts used"
        if self._what == "idle" and row["state"] == "running":
            running = row["running"]
            return f"{text}: {'what runs on it is unknown' if running is None else ', '.join(running[:5])}"
        if row["reason"]:
            text += f": {row['reason']}"
        elif crash is not None:
            text += f": {crash['how']}"
        lines = str(self._newest_crash(row).get("stderr", "")).strip().splitlines()
        return f"{text}; last line of stderr: {lines[-1]}" if lines else text

    def _newest_crash(self, row: Row) -> dict[str, Any]:
        """The record of its last unexpected exit; empty without one, and for what was stopped since."""
        if row["last_crash"] is None or row["state"] == "stopped":
            return {}
        found = self._daemon.get(f"/v1/servers/{quoted(row['name'])}/crashes")
        crashes: list[dict[str, Any]] = found["crashes"]
        return crashes[-1] if crashes else {}


def quoted(name: str) -> str:
    """A name as a part of a path."""
    return "".join(
        c if c.isalnum() and c.isascii() else "".join(f"%{b:02X}" for b in c.encode()) for c in name
    )
