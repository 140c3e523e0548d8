"""Who watches a life of the engine and knows, from the design alone, what must never be seen."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import anyio
from hostler import EndpointFound, Event, Exited, RestartScheduled, Server, Spawned, State, StateChanged
from hostler.testing import SimulatedHost

S = State
# The table of the design, written down a second time: the engine's own is not to be believed here.
LEGAL = {
    S.STOPPED: {S.STARTING},
    S.FAILED: {S.STARTING},
    S.STARTING: {S.WAITING_READY, S.CRASHED, S.STOPPED},
    S.WAITING_READY: {S.RUNNING, S.CRASHED, S.STOPPING},
    S.RUNNING: {S.CRASHED, S.STOPPING},
    S.CRASHED: {S.BACKOFF, S.FAILED, S.STOPPED},
    S.BACKOFF: {S.STARTING, S.STOPPED},
    S.STOPPING: {S.STOPPED},
}
EMPTY = {S.STOPPED, S.FAILED, S.BACKOFF, S.STARTING}


@dataclass(eq=False)
class InvariantChecker:
    """Listens to one server. `violations` is what it saw that must not be."""

    world: SimulatedHost
    server: Server
    violations: list[str] = field(default_factory=list)
    wanted: bool = False
    asked_at: float = 0.0
    crashed_at: float = 0.0
    state: State = State.STOPPED
    generation: int = 0
    restarts: int = 0
    ready_since: float | None = None
    backoff: tuple[float, float] | None = None
    moves: Counter[tuple[State, State]] = field(default_factory=Counter)

    def observe(self, event: Event) -> None:
        """Compare an event with the rules."""
        if event.server != self.server.name:
            return

        match event:
            case StateChanged():
                self._moved(event)
            case Spawned():
                self.require(self.wanted, "spawned although nobody wants it up")
                self.require(event.generation == self.generation, "a spawn of another generation")
            case EndpointFound():
                self._found(event)
            case RestartScheduled():
                self._restarts(event)
            case Exited():
                self.require(not self.living(), f"its end is told while {self.living()} live")
            case _:
                pass

    def desire(self, up: bool) -> None:
        """Take note of what was asked for just now."""
        self.wanted = up
        self.asked_at = anyio.current_time() if up else self.asked_at

    def require(self, holds: bool, rule: str) -> None:
        """Note it when a rule is broken."""
        if not holds:
            self.violations.append(
                f"{self.server.name} (generation {self.generation}, {self.state.value}): {rule}"
            )

    def living(self) -> list[int]:
        """The pids of everything that this server ever started and that lives."""
        return [pid for child in self.world.children_of(self.server.name) for pid in child.members]

    def _moved(self, event: StateChanged) -> None:
        self.require(event.previous is self.state, f"the move begins at {event.previous.value}")
        self.require(event.state in LEGAL[event.previous], f"illegal move to {event.state.value}")
        self.require("hostler itself failed" not in event.reason, event.reason)
        self.moves[event.previous, event.state] += 1
        self.state = event.state

        if event.state is S.CRASHED:
            self.crashed_at = anyio.current_time()

        if event.state is S.STARTING:
            self.require(event.generation == self.generation + 1, f"generation {event.generation} follows")
            self._starts(event)
            self.generation = event.generation

        if event.state in EMPTY:
            self.require(not self.living(), f"{self.living()} live in {event.state.value}")

        if event.state is S.RUNNING:
            self.require(
                self.server.spec.port is None or event.url is not None, "running without an endpoint"
            )
            self.ready_since = anyio.current_time()

    def _starts(self, event: StateChanged) -> None:
        self.require(self.wanted, "starts although nobody wants it up")

        if event.previous is not S.BACKOFF:
            self.restarts = 0
        elif self.backoff is not None:
            since, delay = self.backoff
            waited = anyio.current_time() - since
            in_time = self.asked_at >= self.crashed_at or waited >= delay - 1e-6
            self.require(in_time, f"started after {waited} s of a backoff of {delay} s")

        self.ready_since = self.backoff = None

    def _found(self, event: EndpointFound) -> None:
        newest = self.world.children_of(self.server.name)[-1]
        ports = newest.ports - self.world.strangers  # it may have ended since
        self.require(event.endpoint.port in ports, "its endpoint is not that of its own tree")

    def _restarts(self, event: RestartScheduled) -> None:
        """An automatic restart: counted here by the law, whatever number the engine tells."""
        policy = self.server.spec.restart
        ran = 0.0 if self.ready_since is None else anyio.current_time() - self.ready_since
        if ran >= policy.stable_after:
            self.restarts = 0  # it may have been given back: how long the run was is known from above only

        self.restarts += 1
        self.backoff = anyio.current_time(), event.delay
        most = policy.max_restarts + policy.start_retries
        self.require(self.restarts <= most, f"restart {self.restarts} of at most {most}")
        self.require(1 <= event.used <= event.allowed, f"{event.used} of {event.allowed} restarts used")
        self.require(0 <= event.delay <= max(policy.max_delay, policy.initial_delay), f"waits {event.delay}")


def left_on_disk(state: Path) -> list[str]:
    """Locks and records that are still there."""
    runs = state / "runs"
    return sorted(path.name for path in runs.iterdir()) if runs.exists() else []


def unended_on_disk(state: Path) -> list[str]:
    """Records of runs that are not over."""
    records = [path for path in (state / "runs").glob("*") if path.suffix != ".lock"]
    return [path.name for path in records if not path.read_bytes().endswith(b"\n{}\n")]
