"""resource-limits: how much a server may use, with everything that it starts."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterator
from dataclasses import dataclass, field

import anyio
from hostler import (
    Action,
    Advice,
    Duration,
    Exit,
    Launch,
    Report,
    ServerCrashed,
    ServerSpec,
    ServerView,
    Size,
    hookimpl,
    option,
)

from hostler_plugins.resource_limits.cgroup import Group, find_parent, make_group
from hostler_plugins.resource_limits.soft_limit import SoftLimit
from hostler_plugins.resource_limits.watch import FINE, Limits, UsageMonitor, in_words

_PERIOD = 100_000  # microseconds, as the kernel's own default for cpu.max
_AT_LEAST = {"processes": 1, "tasks": 1, "open_files": 1, "cpus": 0, "idle_cpu": 0}
_LONGER_THAN_NOTHING = ("memory_soft", "memory_hard", "memory_throttle", "cpu_time", "interval")


@dataclass(eq=False)
class ResourceLimits:
    """Limits what a server uses, with all its processes; exceeding a limit is a crash with its reason.

    Memory is the resident memory of the whole tree; on Linux, shared memory is counted once. Polling begins
    when the server listens. If a cgroup (version 2) is delegated to hostler, the kernel enforces
    `memory_hard`, `tasks` and `cpus` from the first instruction, and nothing that the server starts can
    escape.

    A server is idle if it used less than `idle_cpu`, if its event stream reported no activity (heartbeats
    do not count), and if the function `what_runs` or `is_idle` agrees, which a launcher plugin may put into
    its facts.
    """

    memory_soft: Size | None = option(
        None, "Memory above which the server is restarted as soon as it is idle; default: no limit"
    )
    memory_hard: Size | None = option(
        None, "Memory above which the server is restarted at once; default: no limit"
    )
    memory_throttle: Size | None = option(
        None, "Value of memory.high of its cgroup: above it the kernel slows it down; default: no limit"
    )
    soft_for: Duration = option(Duration(30), "How long memory has to be above `memory_soft`")
    idle_for: Duration = option(Duration(10), "How long the server then has to be idle")
    idle_cpu: float = option(0.05, "Share of one processor that an idle server may use")
    max_wait: Duration = option(
        Duration(600), "How long the server may stay busy before it is restarted anyway"
    )
    cpu_time: Duration | None = option(
        None, "Processor time of one run above which the server is restarted; default: no limit"
    )
    cpus: float | None = option(
        None, "Number of processors that it may use at the same time (only in a cgroup); default: no limit"
    )
    processes: int | None = option(
        None, "Number of processes above which the server is restarted; default: no limit"
    )
    tasks: int | None = option(
        None, "Number of processes and threads: no more can be started (cgroup), or the server is restarted"
    )
    open_files: int | None = option(None, "Open files of each process; default: like hostler itself")
    file_size: Size | None = option(
        None, "Largest file that a process may write; default: like hostler itself"
    )
    core: Size | None = option(None, "Largest core dump of each process; default: like hostler itself")
    address_space: Size | None = option(
        None,
        "Address space of each process (too little ends JavaScript at once); default: like hostler itself",
    )
    interval: Duration = option(Duration(2), "How often to poll")
    cgroup: str = option("auto", 'Parent cgroup: "auto" for the one delegated to hostler, a path, or "off"')

    _group: Group | None = field(init=False, repr=False, default=None)
    _watch: UsageMonitor | None = field(init=False, repr=False, default=None)
    _left_to_us: set[str] = field(init=False, repr=False, default_factory=set)
    _told: bool = field(init=False, repr=False, default=False)

    def __post_init__(self) -> None:
        for name, least in _AT_LEAST.items():
            value = getattr(self, name)
            if value is not None and (value < least or value == 0):
                raise ValueError(f"{name}: must be {f'{least} or more' if least else 'more than 0'}")

        for name in _LONGER_THAN_NOTHING:
            if getattr(self, name) == 0:
                raise ValueError(f"{name}: must be more than 0")

        for name in ("memory_soft", "memory_throttle"):
            size = getattr(self, name)
            if size is not None and self.memory_hard is not None and size >= self.memory_hard:
                raise ValueError(f"{name}: must be less than memory_hard, {in_words(self.memory_hard)}")

        if self.cgroup not in {"auto", "off"} and not self.cgroup.startswith("/"):
            raise ValueError('cgroup: expected "auto", "off" or the path of a control group')

    def check(self, spec: ServerSpec, launch: Launch) -> Iterator[str]:
        """What could not be had on this machine, for `hostler check`."""
        parent = find_parent(self.cgroup)
        if parent is None and self._needs_group:
            yield _no_group(self._needs_group)

    @hookimpl
    async def pre_spawn(self, server: ServerView, launch: Launch) -> None:
        """Set the limits of each process, and make a control group for the run where that is possible."""
        limits = {
            "nofile": self.open_files,
            "fsize": self.file_size,
            "core": self.core,
            "as": self.address_space,
        }
        launch.limits |= {name: int(value) for name, value in limits.items() if value is not None}
        self._group = self._watch = None
        self._group = group = make_group(self.cgroup, server.name)
        if group is not None:
            launch.cgroup = group.path

        self._enforce(server, group)

    @hookimpl
    async def health_check(self, server: ServerView) -> AsyncGenerator[Report, None]:
        """Look at what it uses, now and then, to the end of the run."""
        tasks = self.tasks if "tasks" in self._left_to_us else None
        limits = Limits(self.memory_soft, self.memory_hard, self.cpu_time, self.processes, tasks)
        if limits == Limits():
            yield FINE
            return

        soft_limit = SoftLimit(self.soft_for, self.idle_for, self.max_wait)
        self._watch = watch = UsageMonitor(server, limits, soft_limit, self.idle_cpu, self._group)

        while True:
            yield await watch.look()
            await anyio.sleep(self.interval)

    @hookimpl
    async def on_crash(self, exit: Exit) -> Advice | None:  # noqa: A002 - the hook's name for it
        """Say so when it was the kernel that ended it because of its memory."""
        if self._group is None or exit.unhealthy is not None:
            return None
        if not self._group.event("memory.events", "oom_kill"):
            return None

        size = "" if self.memory_hard is None else f" ({in_words(self.memory_hard)})"
        largest = self._watch.largest if self._watch is not None else ""
        seen = f"; when it was last looked at, the largest was {largest}" if largest else ""
        error = ServerCrashed(
            f"the kernel ended it: its control group needed more memory than memory_hard{size}{seen}",
            hint="find out why it needs so much, or raise memory_hard",
            details={"limit": "memory_hard", "oom_kill": True},
        )
        return Advice(Action.BACK_OFF, error)

    @property
    def _needs_group(self) -> list[str]:
        return [name for name in ("memory_throttle", "cpus") if getattr(self, name) is not None]

    @property
    def _files(self) -> dict[str, tuple[str, str]]:
        """The limits that the kernel can keep: the file of the control group, and what goes into it."""
        wanted = {
            "memory_hard": ("memory.max", self.memory_hard),
            "memory_throttle": ("memory.high", self.memory_throttle),
            "tasks": ("pids.max", self.tasks),
            "cpus": ("cpu.max", None if self.cpus is None else f"{int(self.cpus * _PERIOD)} {_PERIOD}"),
        }
        return {name: (file, str(value)) for name, (file, value) in wanted.items() if value is not None}

    def _enforce(self, server: ServerView, group: Group | None) -> None:
        """Have the kernel keep what it can keep, and say what nobody keeps, once."""
        self._left_to_us = {
            name for name, (file, value) in self._files.items() if group is None or not group.set(file, value)
        }
        lost = [name for name in self._needs_group if name in self._left_to_us]
        if lost and not self._told:
            self._told = True
            server.notice("limit_not_kept", _no_group(lost), level="warning", limits=lost)

        if group is not None and "memory_hard" not in self._left_to_us:
            group.set("memory.oom.group", "1")  # the whole tree ends, not some of it


def _no_group(names: list[str]) -> str:
    return (
        f"{', '.join(names)}: only a control group (version 2) can keep this, and none with its controllers "
        "is delegated to hostler; under systemd set Delegate=yes"
    )
