"""Measures what a server uses, and reports when it exceeds a limit."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import cast

from hostler import Healthy, ProcessUsage, Report, ServerCrashed, ServerView, Unhealthy

from hostler_plugins.resource_limits.cgroup import Group
from hostler_plugins.resource_limits.soft_limit import IDLE_NOW, ProcessorTime, SoftLimit

# Neutral: that a server uses little does not tell that it works.
FINE = Healthy(neutral=True)

_HINT = "find out why it needs so much, or raise {key}"
_KIB = 1024.0
_ANSWER = 5.0
_NAMED = 5


@dataclass(frozen=True, slots=True)
class Limits:
    """What is watched; None for no bound."""

    memory_soft: int | None = None
    memory_hard: int | None = None
    cpu_time: float | None = None
    processes: int | None = None
    tasks: int | None = None

    @property
    def least_memory(self) -> int | None:
        """The lowest memory limit: below it no closer look is needed."""
        return min((size for size in (self.memory_soft, self.memory_hard) if size is not None), default=None)


@dataclass(slots=True)
class UsageMonitor:
    """Looks at one run. `group` is its control group, where it has one.

    `idle_cpu` is the share of one processor that an idle server may use.
    """

    server: ServerView
    limits: Limits
    soft_limit: SoftLimit
    idle_cpu: float
    group: Group | None = None
    largest: str = field(default="", init=False)
    _time: ProcessorTime = field(default_factory=ProcessorTime, init=False)
    _last: tuple[float, float] | None = field(default=None, init=False)

    async def look(self) -> Report:
        """Look once: a fatal report when a bound is passed."""
        try:
            used = await self._used()
        except OSError:
            return FINE  # no descriptor left to look with, say: the next look tells
        self._time.note({one.pid: (one.cpu, one.waited_cpu) for one in used})
        self.largest = _name(used[0]) if used else ""
        report = self._count(used) or await self._memory(used)
        return report or FINE

    async def _used(self) -> Sequence[ProcessUsage]:
        """What each process uses; shared memory is counted once only where it matters: it is slow."""
        used = await self.server.processes()
        least = self.limits.least_memory
        if least is not None and _memory(used) > least:  # the sum counts what is shared for each
            used = await self.server.processes(shared_once=True)
        return used

    def _count(self, used: Sequence[ProcessUsage]) -> Unhealthy | None:
        limits, tasks, spent = self.limits, sum(one.threads for one in used), self.processor_time
        if limits.processes is not None and len(used) > limits.processes:
            return _too_much("processes", f"{len(used)} processes", str(limits.processes))
        if limits.tasks is not None and tasks > limits.tasks:
            return _too_much("tasks", f"{tasks} processes and threads", str(limits.tasks))
        if limits.cpu_time is not None and spent > limits.cpu_time:
            return _too_much("cpu_time", f"{spent:.2f} s of processor time", f"{limits.cpu_time:g} s")
        return None

    async def _memory(self, used: Sequence[ProcessUsage]) -> Unhealthy | None:
        size, hard, soft = _memory(used), self.limits.memory_hard, self.limits.memory_soft
        if hard is not None and size > hard:
            return self._too_large("memory_hard", used, hard)
        if soft is None:
            return None

        first = self.soft_limit.above_since is None
        now = asyncio.get_running_loop().time()
        over = self.soft_limit.note(now, above=size > soft, busy=await self._is_busy())
        if over:
            why = f"{over}{'' if over == IDLE_NOW else await self._what_runs()}"
            return self._too_large("memory_soft", used, soft, why)

        if first and self.soft_limit.above_since is not None:
            text = f"{_summary(used)}, more than memory_soft = {in_words(soft)}; it is restarted when idle"
            self.server.notice("memory_soft", text, level="warning", rss=size, limit=soft)

        return None

    def _too_large(self, key: str, used: Sequence[ProcessUsage], limit: int, why: str = "") -> Unhealthy:
        details = {"rss": _memory(used), "limit_bytes": limit, "largest": _details(used[0])}
        return _too_much(key, _summary(used), in_words(limit), why, details)

    @property
    def processor_time(self) -> float:
        """Seconds of processor time of the whole tree since its start."""
        told = None if self.group is None else self.group.cpu_seconds
        return self._time.total if told is None else max(told, self._time.total)

    async def _is_busy(self) -> bool:
        """Whether it has worked since the last look: by its processors, its events, or its own word."""
        now, spent = asyncio.get_running_loop().time(), self.processor_time
        before, self._last = self._last, (now, spent)
        if before is None:
            return True
        passed = now - before[0]
        worked = spent - before[1] > self.idle_cpu * passed
        return worked or self.server.quiet_for < passed or bool(await self._what_runs())

    async def _what_runs(self) -> str:
        """What runs as plugins tell, in words; "" if nothing does, or if none can tell."""
        what_runs, says = self.server.facts.get("what_runs"), self.server.facts.get("is_idle")
        try:
            if callable(what_runs):
                async with asyncio.timeout(_ANSWER):
                    if words := _running(await what_runs()):
                        return words
            return "" if not callable(says) or says() else ", as it says"
        except Exception:  # noqa: BLE001 - another plugin's fault: it may be busy
            return _running(None)


def _running(names: object) -> str:
    """In words; None is unknown, which counts as busy."""
    if names is None:
        return "; whether anything runs is unknown"
    found = list(map(str, cast("Sequence[object]", names)))
    more = f" and {len(found) - _NAMED} more" if len(found) > _NAMED else ""
    return f"; running: {', '.join(found[:_NAMED])}{more}" if found else ""


def in_words(size: int) -> str:
    """A size as people say it: "812 MiB"."""
    number, units = float(size), ["B", "KiB", "MiB", "GiB"]
    while number >= _KIB and len(units) > 1:
        number /= _KIB
        units.pop(0)
    return f"{number:.4g} {units[0]}"


def _memory(used: Sequence[ProcessUsage]) -> int:
    return sum(one.rss for one in used)


def _name(one: ProcessUsage) -> str:
    return f"{one.name} (pid {one.pid}, {in_words(one.rss)})"


def _details(one: ProcessUsage) -> dict[str, object]:
    return {"pid": one.pid, "name": one.name, "rss": one.rss}


def _summary(used: Sequence[ProcessUsage]) -> str:
    count = "one process" if len(used) == 1 else f"{len(used)} processes"
    return f"{in_words(_memory(used))} of resident memory in {count}, most of it in {_name(used[0])}"


def _too_much(
    key: str, found: str, limit: str, why: str = "", details: dict[str, object] | None = None
) -> Unhealthy:
    reason = " ".join(word for word in (f"{found}, more than {key} = {limit}", why) if word)
    known = {"limit": key, **(details or {})}
    error = ServerCrashed(f"it uses too much: {reason}", hint=_HINT.format(key=key), details=known)
    return Unhealthy(reason, known, fatal=True, error=error)
