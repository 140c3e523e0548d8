"""What was counted of one server over all its runs, as programs have it."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from msgspec import Struct

from hostler.model.values import ExitCause, StreamName


class HealthCounts(Struct, frozen=True):
    """What one health plugin has said: `reports` are all, `failures` those that the server is not healthy.

    `latencies` counts the answers whose time it measures: by an upper bound in seconds, from 0.001 to
    infinity, each one under the lowest that it is not above; empty where it measures none. `seconds` is their
    sum.
    """

    reports: int = 0
    failures: int = 0
    latencies: Mapping[float, int] = MappingProxyType({})
    seconds: float = 0.0


class ServerCounts(Struct, frozen=True):
    """What was counted of one server over all its runs, since it is supervised; a snapshot.

    `crashes` by their cause, `health` by plugin. `output` is how many bytes it has printed, by stream, where
    hostler reads that; `lost_output` how many of them its sinks have lost.
    `dropped_events` are those for which somebody who follows the server alone was too slow.
    """

    crashes: Mapping[ExitCause, int]
    health: Mapping[str, HealthCounts]
    output: Mapping[StreamName, int]
    lost_output: int
    dropped_events: int
