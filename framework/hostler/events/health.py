"""What a health plugin reported last, as programs, other plugins and the status file have it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from datetime import datetime
from types import MappingProxyType

from hostler.events.serialization import Serializable
from hostler.model.dataclass import dataclass


@dataclass(frozen=True, slots=True)
class HealthReport(Serializable):
    """The last report of one health plugin about a run; texts are masked, and nothing in it can be changed.

    `healthy` is None when nothing is known: the plugin itself failed, as `reason` tells. `details` are those
    of its Healthy or Unhealthy, in JSON's types. `latency` is how many seconds the answer took, where the
    plugin measures it, as all that use `poll` do. `time` is when it was reported (UTC).
    """

    healthy: bool | None
    time: datetime
    reason: str = ""
    details: Mapping[str, object] = field(default_factory=lambda: MappingProxyType({}))
    latency: float | None = None
