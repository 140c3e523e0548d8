"""What is known of a server at one moment."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from hostler.engine.restart import Budget
from hostler.engine.run import Run
from hostler.errors import ServerError
from hostler.model.states import State
from hostler.model.values import Auth, Endpoint
from hostler.runtime.command import AsServer


@dataclass(frozen=True, slots=True)
class ServerStatus:
    """Published by the lifecycle after each change; nobody else makes one.

    `rests` counts how often it came to rest. `stuck` is why what is left of it cannot be stopped,
    `promised_port` the port that was chosen for the run, before anything listens at it.
    """

    state: State = State.STOPPED
    error: ServerError | None = None
    generation: int = 0
    spawned_generation: int = 0
    restarts: int = 0
    rests: int = 0
    budget: Budget = field(default_factory=Budget)
    run: Run | None = None
    promised_port: int | None = None
    stuck: ServerError | None = None


class StatusFacts(AsServer):
    """A server as its present status tells of it."""

    def __init__(self) -> None:
        self.status = ServerStatus()

    @property
    def state(self) -> State:
        """Where it is in its life."""
        return self.status.state

    @property
    def error(self) -> ServerError | None:
        """What made it fail, or its last crash; None once it runs."""
        return self.status.error

    @property
    def generation(self) -> int:
        """The number of its run, from 1 on; 0 before its first start."""
        return self.status.generation

    @property
    def restarts(self) -> int:
        """How often it was restarted by itself."""
        return self.status.restarts

    @property
    def run(self) -> Run | None:
        """Its present run; None at rest, and while it waits for a restart."""
        return self.status.run

    @property
    def pid(self) -> int | None:
        """The pid of the spawned process, None without a living run."""
        process = None if self.run is None else self.run.process
        return None if process is None else process.pid

    @property
    def endpoint(self) -> Endpoint | None:
        """Where it listens, once that is confirmed."""
        return None if self.run is None else self.run.endpoint

    @property
    def url(self) -> str | None:
        """The URL with the actual port, once that is confirmed."""
        return None if self.endpoint is None else self.endpoint.url

    @property
    def facts(self) -> Mapping[str, object]:
        """What plugins noted about this run; empty before the spawn."""
        return MappingProxyType({}) if self.run is None else self.run.facts

    @property
    def auth(self) -> Auth | None:
        """The credentials of this run, where a plugin set some."""
        auth = self.facts.get("auth")
        return auth if isinstance(auth, Auth) else None
