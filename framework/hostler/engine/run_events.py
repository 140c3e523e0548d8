"""Word that the watchers of a run leave in its inbox."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from hostler.engine.health import PluginHealth
from hostler.errors import ServerError
from hostler.runtime.endpoint_discovery import Confirmed


@dataclass(frozen=True, slots=True)
class Prepared:
    """The preparation is over: the launch can be spawned, or cannot."""


@dataclass(frozen=True, slots=True)
class CommandReceived:
    """Somebody gave a command: look at what is wanted."""


@dataclass(frozen=True, slots=True)
class ProcessExited:
    """The spawned process is dead and reaped."""


@dataclass(frozen=True, slots=True)
class EndpointConfirmed:
    """A process of the server listens at the endpoint."""

    confirmed: Confirmed


@dataclass(frozen=True, slots=True)
class HealthChanged:
    """A health plugin reported, or failed itself."""

    health: PluginHealth


@dataclass(frozen=True, slots=True)
class RunFailed:
    """The run cannot go on."""

    error: ServerError


RunEvent: TypeAlias = (
    Prepared | CommandReceived | ProcessExited | EndpointConfirmed | HealthChanged | RunFailed
)
