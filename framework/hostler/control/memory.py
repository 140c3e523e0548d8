"""What servers have used in the last hour: each sample of theirs, and more of them while somebody looks."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from time import monotonic

from msgspec import Struct

from hostler import MemorySampled, Server, State, Supervisor, sample_memory

_KEPT = timedelta(hours=1)
_INTERVAL = 10.0
_LOOKED_SECONDS = 30.0  # after the last look, in which samples are taken
_NEW_SECONDS = 1.0  # between samples that are taken for a run without one
_WAIT_SECONDS = 1.0
_MOST = 400  # an hour of them, and some more


class Sample(Struct, frozen=True):
    """What all processes of one run used at one time; `cpu` since their beginning."""

    time: datetime
    generation: int
    rss: int
    processes: int
    cpu: float


class _Cpu:
    """The seconds that all runs of one server have used, as far as they were sampled; they never go back."""

    def __init__(self) -> None:
        self._ended = self._present = 0.0
        self._generation = 0

    @property
    def seconds(self) -> float:
        """Those of the runs that have ended, and of the present one."""
        return self._ended + self._present

    def note(self, sample: Sample) -> None:
        """Take a sample. What a process has used may be lost with it, when nobody waits for it."""
        if sample.generation != self._generation:
            self._ended, self._present, self._generation = self.seconds, 0.0, sample.generation
        self._present = max(self._present, sample.cpu)


class MemoryHistory:
    """The samples of all servers of a supervisor. Used on the loop's thread, from `note` to `close`."""

    def __init__(self, supervisor: Supervisor) -> None:
        self._supervisor = supervisor
        self._samples: dict[str, deque[Sample]] = {}
        self._cpu: dict[str, _Cpu] = {}
        self._sampled_at = float("-inf")
        self._looked_until = float("-inf")
        self._sampling: asyncio.Task[None] | None = None
        self._ticking: asyncio.Task[None] | None = None

    def close(self) -> None:
        """Take no more samples."""
        for task in (self._sampling, self._ticking):
            if task is not None:
                task.cancel()

    def note(self, event: MemorySampled) -> None:
        """Keep a sample that the supervisor took by itself."""
        self._keep(event.server, Sample(event.time, event.generation, event.rss, event.processes, event.cpu))

    def forget(self, server: str) -> None:
        """Drop what is known of a server that was removed."""
        self._samples.pop(server, None)
        self._cpu.pop(server, None)

    def cpu_seconds(self, server: Server) -> float | None:
        """What all its runs have used together, each until its last sample; None without any."""
        cpu = self._cpu.get(server.name)
        return None if cpu is None else cpu.seconds

    def last(self, server: Server) -> Sample | None:
        """The newest sample of its present run."""
        samples = self._samples.get(server.name)
        return samples[-1] if samples and server.pid and samples[-1].generation == server.generation else None

    async def samples(self, server: Server) -> list[Sample]:
        """Those of the last hour, oldest first. From now on one is taken every 10 s, while somebody asks."""
        self._looked_until = monotonic() + _LOOKED_SECONDS
        await self.refresh()
        if self._ticking is None or self._ticking.done():
            self._ticking = asyncio.create_task(self._tick(), name="hostler memory")
        begin = datetime.now(UTC) - _KEPT
        return [one for one in self._samples.get(server.name, ()) if one.time >= begin]

    async def refresh(self) -> None:
        """Have samples that are not old, of all that run. That of a new run is not waited for."""
        running = self._running()
        age = monotonic() - self._sampled_at
        is_new = age >= _NEW_SECONDS and any(self.last(server) is None for server in running)
        if not running or (age < _INTERVAL and not is_new):
            return
        if self._sampling is None or self._sampling.done():
            self._sampled_at = monotonic()
            self._sampling = asyncio.create_task(self._sample(running), name="hostler memory sample")
        if age >= _INTERVAL:
            # Where no thread can be had for it, the rest is answered all the same.
            await asyncio.wait({self._sampling}, timeout=_WAIT_SECONDS)

    async def _tick(self) -> None:
        while monotonic() < self._looked_until:
            await asyncio.sleep(_INTERVAL)
            await self.refresh()

    async def _sample(self, servers: Iterable[Server]) -> None:
        with suppress(OSError):
            await sample_memory(servers)
        for server in servers:
            points = server.memory_points
            if points:
                time = datetime.now(UTC)
                one = points[-1]
                self._keep(server.name, Sample(time, server.generation, one.rss, one.processes, one.cpu))

    def _keep(self, name: str, sample: Sample) -> None:
        self._cpu.setdefault(name, _Cpu()).note(sample)
        samples = self._samples.setdefault(name, deque(maxlen=_MOST))
        # One that comes early takes the place of the last, so that an hour has room.
        if len(samples) > 1 and (sample.time - samples[-2].time).total_seconds() < _INTERVAL:
            samples.pop()
        samples.append(sample)

    def _running(self) -> list[Server]:
        return [one for one in self._supervisor.servers.values() if one.state is State.RUNNING]
