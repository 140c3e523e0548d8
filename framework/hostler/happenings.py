"""Word that the watchers of a run leave in its inbox."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from hostler.endpoint import Confirmed
from hostler.errors import ServerError
from hostler.health import PluginHealth


@dataclass(frozen=True, slots=True)
class Prepared:
    """The launch is ready to be spawned, or cannot be: `error`."""

    error: ServerError | None = None


@dataclass(frozen=True, slots=True)
class Asked:
    """Somebody gave a command: look at what is wanted."""


@dataclass(frozen=True, slots=True)
class Ended:
    """The spawned process is dead and reaped."""


@dataclass(frozen=True, slots=True)
class Found:
    """A process of the server listens at the endpoint."""

    confirmed: Confirmed


@dataclass(frozen=True, slots=True)
class HealthNews:
    """A health plugin reported, or failed itself."""

    health: PluginHealth


@dataclass(frozen=True, slots=True)
class Broken:
    """The run cannot go on."""

    error: ServerError


Happening: TypeAlias = Prepared | Asked | Ended | Found | HealthNews | Broken
