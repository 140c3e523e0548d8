"""The metrics, as families of prometheus-client: a name, what it means, a value for each set of labels."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime
from itertools import accumulate

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    Metric,
)
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from hostler import ExitCause, HealthCounts, State, __version__
from hostler.control.metrics import ServerSnapshot, Snapshot
from hostler.control.routes import Text

_CAUSES = tuple(cause for cause in ExitCause if cause is not ExitCause.STOPPED)
_Labelled = Iterable[tuple[Sequence[str], float | None]]


def written(snapshot: Snapshot, accept: str) -> Text:
    """The metrics in the form that a scraper asks for by its header Accept."""
    registry = CollectorRegistry()
    registry.register(_Families(snapshot))
    ProcessCollector(registry=registry)
    encode, content_type = choose_encoder(accept)
    return Text(encode(registry), content_type)


class _Families(Collector):
    """Gives the families of one snapshot."""

    def __init__(self, snapshot: Snapshot) -> None:
        self._snapshot = snapshot

    def collect(self) -> Iterator[Metric]:
        """All that have a value."""
        servers = self._snapshot.servers
        families = (
            _of_hostler(self._snapshot),
            _states(servers),
            _runs(servers),
            _budgets(servers),
            _usage(servers),
            _health(servers),
            _output(servers),
            _plugins(self._snapshot),
        )
        return (family for some in families for family in some if family.samples)


def _of_hostler(snapshot: Snapshot) -> Iterator[Metric]:
    build = InfoMetricFamily("hostler_build", "The version of hostler.")
    build.add_metric([], {"version": __version__})
    yield build
    yield _counter(
        "hostler_events_dropped",
        "Events of servers that somebody who follows them was too slow for: listeners, programs, streams.",
        (),
        [((), snapshot.dropped_events)],
    )
    yield _counter(
        "hostler_control_requests",
        "Answers of the control API, by route and status.",
        ("route", "status"),
        (((route, str(status)), count) for (route, status), count in sorted(snapshot.answers.items())),
    )
    yield _gauge(
        "hostler_control_streams", "Streams that the control API sends now.", (), [((), snapshot.streams)]
    )


def _states(servers: Sequence[ServerSnapshot]) -> Iterator[Metric]:
    yield _of_each("up", "Whether it runs and may be used.", servers, lambda one: one.row.state == "running")
    yield _of_each(
        "wanted",
        "Whether it is wanted up: started, and neither stopped nor completed since.",
        servers,
        lambda one: one.row.wanted == "up",
    )
    yield _gauge(
        "hostler_server_state",
        "1 for the state that it is in, 0 for all others.",
        ("server", "state"),
        (((one.row.name, state.value), one.row.state == state.value) for one in servers for state in State),
    )
    yield _of_each(
        "ready_seconds",
        "How long its present run took to be ready.",
        servers,
        lambda one: one.row.ready_seconds,
    )


def _runs(servers: Sequence[ServerSnapshot]) -> Iterator[Metric]:
    yield _counter(
        "hostler_server_starts",
        "Runs that were begun, also those that could not be spawned.",
        ("server",),
        (((one.row.name,), one.row.generation) for one in servers),
    )
    yield _counter(
        "hostler_server_crashes",
        "Unexpected ends of runs, by cause.",
        ("server", "cause"),
        (
            ((one.row.name, cause.value), one.counts.crashes.get(cause, 0))
            for one in servers
            for cause in _CAUSES
        ),
    )


def _budgets(servers: Sequence[ServerSnapshot]) -> Iterator[Metric]:
    yield _of_each(
        "restarts_used",
        "Restarts by itself that are used of those that it may have.",
        servers,
        lambda one: one.row.restarts.used,
    )
    yield _of_each(
        "restarts_allowed",
        "Restarts by itself until it is given up.",
        servers,
        lambda one: one.row.restarts.allowed,
    )
    yield _of_each(
        "next_try_timestamp_seconds",
        "When it is started again after a crash.",
        servers,
        lambda one: _timestamp(one.row.restarts.next_try),
    )


def _timestamp(time: str | None) -> float | None:
    return None if time is None else datetime.fromisoformat(time).timestamp()


def _usage(servers: Sequence[ServerSnapshot]) -> Iterator[Metric]:
    yield _of_each(
        "resident_memory_bytes",
        "Resident memory of all processes of its present run.",
        servers,
        lambda one: None if one.row.memory is None else one.row.memory.rss,
    )
    yield _of_each(
        "processes",
        "Processes of its present run.",
        servers,
        lambda one: None if one.row.memory is None else one.row.memory.processes,
    )
    yield _counter(
        "hostler_server_cpu_seconds",
        "Processor time of all its runs, each until it was sampled last.",
        ("server",),
        (((one.row.name,), one.cpu_seconds) for one in servers),
    )


def _health(servers: Sequence[ServerSnapshot]) -> Iterator[Metric]:
    of_plugins = [
        ((one.row.name, plugin), counts)
        for one in servers
        for plugin, counts in sorted(one.counts.health.items())
    ]
    yield _of_each(
        "healthy",
        "Whether its health plugins say that it is healthy.",
        servers,
        lambda one: {"healthy": 1, "unhealthy": 0}.get(one.row.health),
    )
    yield _counter(
        "hostler_server_health_failures",
        "Reports of a health plugin that it is not healthy, also while it starts.",
        ("server", "plugin"),
        ((labels, counts.failures) for labels, counts in of_plugins),
    )
    latency = HistogramMetricFamily(
        "hostler_server_health_latency_seconds",
        "How long it took to answer a health plugin.",
        labels=("server", "plugin"),
    )
    for labels, counts in of_plugins:
        if counts.latencies:
            latency.add_metric(labels, _buckets(counts), counts.seconds)
    yield latency


def _buckets(counts: HealthCounts) -> list[tuple[str, int]]:
    """Each upper bound with how many were not above it, as Prometheus has it."""
    bounds = (f"{bound}" if bound < float("inf") else "+Inf" for bound in counts.latencies)
    return list(zip(bounds, accumulate(counts.latencies.values()), strict=True))


def _output(servers: Sequence[ServerSnapshot]) -> Iterator[Metric]:
    yield _counter(
        "hostler_server_stream_events",
        "Events of its own event stream.",
        ("server",),
        (((one.row.name,), one.row.events) for one in servers),
    )
    yield _counter(
        "hostler_server_log_bytes",
        "Output that was read from it.",
        ("server", "stream"),
        (
            ((one.row.name, stream), size)
            for one in servers
            for stream, size in sorted(one.counts.output.items())
        ),
    )
    yield _counter(
        "hostler_server_log_dropped_bytes",
        "Output that could not be written where it should have been: a full disk, a sink that hangs.",
        ("server",),
        (((one.row.name,), one.counts.lost_output) for one in servers if one.counts.output),
    )


def _plugins(snapshot: Snapshot) -> Iterator[Metric]:
    hooks = sorted(snapshot.hooks.items())
    outcomes = (
        ((*key, outcome), count)
        for key, one in hooks
        for outcome, count in (("ok", one.calls - one.failures), ("failed", one.failures))
    )
    yield _counter(
        "hostler_plugin_calls",
        "Calls of the hooks of plugins, for all servers together.",
        ("plugin", "hook", "outcome"),
        outcomes,
    )
    yield _counter(
        "hostler_plugin_seconds",
        "Time that the hooks of plugins took, for all servers together.",
        ("plugin", "hook"),
        ((key, one.seconds) for key, one in hooks),
    )


def _of_each(
    name: str,
    text: str,
    servers: Iterable[ServerSnapshot],
    value: Callable[[ServerSnapshot], float | None],
) -> Metric:
    """One gauge of each server for which there is a value."""
    found = (((one.row.name,), value(one)) for one in servers)
    return _gauge(f"hostler_server_{name}", text, ("server",), found)


def _gauge(name: str, text: str, labels: Sequence[str], values: _Labelled) -> Metric:
    return _filled(GaugeMetricFamily(name, text, labels=labels), values)


def _counter(name: str, text: str, labels: Sequence[str], values: _Labelled) -> Metric:
    return _filled(CounterMetricFamily(name, text, labels=labels), values)


def _filled(family: GaugeMetricFamily | CounterMetricFamily, values: _Labelled) -> Metric:
    for labels, value in values:
        if value is not None:
            family.add_metric(labels, value)
    return family
