"""The routes that look into one server: its crashes, its memory, its processes, its plugins, its work."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import partial

from hostler import ProcessUsage, Server, Supervisor
from hostler.control import shapes
from hostler.control.memory import MemoryHistory
from hostler.control.problems import Refused
from hostler.control.routes import Call, Route
from hostler.control.rows import format_time

_MASK = "********"


class Inspection:
    """Answers requests about what a server does and has done. `find` gives the one of a call, or Refused."""

    def __init__(self, find: Callable[[Call], Server], supervisor: Supervisor, memory: MemoryHistory) -> None:
        self._find = find
        self._supervisor = supervisor
        self._memory = memory

    def routes(self) -> Iterator[Route]:
        """All that this answers."""
        get = partial(Route, "GET", problems=("not_found",))
        server = "/v1/servers/{name}"
        yield get(f"{server}/crashes", self.crashes, shapes.CrashPage)
        yield get(f"{server}/crashes/{{number}}", self.crash, dict)
        yield get(f"{server}/memory", self.memory, shapes.MemoryPage)
        yield get(f"{server}/processes", self.processes, shapes.ProcessTree)
        yield get(f"{server}/work", self.work, shapes.Work)
        yield Route("GET", "/v1/plugins", self.plugins, shapes.PluginPage)

    async def crashes(self, call: Call) -> tuple[int, object]:
        """The records of its last unexpected exits."""
        return 200, shapes.CrashPage(crashes=[record.as_dict() for record in self._find(call).crashes])

    async def crash(self, call: Call) -> tuple[int, object]:
        """The record of one unexpected exit, by its number."""
        number, crashes = call.parts["number"], self._find(call).crashes
        for record in crashes:
            if str(record.number) == number:
                return 200, record.as_dict()
        known = f"{crashes[0].number} to {crashes[-1].number}" if crashes else "none"
        raise Refused("not_found", f"there is no crash {number[:20]!r} of it; there are: {known}")

    async def memory(self, call: Call) -> tuple[int, object]:
        """What its processes used in the last hour, sampled every 10 s while somebody asks."""
        samples = await self._memory.samples(self._find(call))
        points = [
            shapes.MemorySample(
                time=format_time(one.time),
                generation=one.generation,
                rss=one.rss,
                processes=one.processes,
                cpu_seconds=one.cpu,
            )
            for one in samples
        ]
        return 200, shapes.MemoryPage(points=points)

    async def processes(self, call: Call) -> tuple[int, object]:
        """Its process tree, and what each process uses."""
        server = self._find(call)
        rows = [
            shapes.ProcessRow(
                pid=one.pid,
                parent=one.parent,
                name=_MASK if server.is_secret(one.name) else one.name,
                rss=one.rss,
                cpu_seconds=one.cpu,
                threads=one.threads,
            )
            for one in _from_the_root(await server.processes())
        ]
        return 200, shapes.ProcessTree(processes=rows)

    async def work(self, call: Call) -> tuple[int, object]:
        """What runs on it, as its plugins tell: nothing does in a quiet moment."""
        running = await self._find(call).what_runs()
        idle = None if running is None else not running
        return 200, shapes.Work(idle=idle, running=None if running is None else list(running))

    async def plugins(self, call: Call) -> tuple[int, object]:
        """What the plugins of all servers do: calls, seconds and failures of each hook."""
        hooks = [
            shapes.HookRow(
                server=name,
                plugin=plugin,
                hook=hook,
                calls=one.calls,
                seconds=round(one.seconds, 6),
                failures=one.failures,
                disabled=one.disabled,
            )
            for name, server in self._supervisor.servers.items()
            for (plugin, hook), one in server.hook_stats.items()
        ]
        return 200, shapes.PluginPage(hooks=hooks)


def _from_the_root(processes: Iterable[ProcessUsage]) -> Iterator[ProcessUsage]:
    """Parents before their children; who has no parent among them comes as a root."""
    left = {one.pid: one for one in sorted(processes, key=lambda one: one.pid)}
    roots = [one for one in left.values() if one.parent not in left]
    while roots:
        one = roots.pop(0)
        yield one
        del left[one.pid]
        roots[:0] = [child for child in left.values() if child.parent == one.pid]
