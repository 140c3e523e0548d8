"""What the health plugins of a run reported last, for others than the engine: masked and frozen."""

from __future__ import annotations

import math
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, cast

from hostler.events.health import HealthReport
from hostler.events.serialization import to_json
from hostler.model.values import Healthy
from hostler.runtime.base_run import Run
from hostler.runtime.health import PluginHealth
from hostler.runtime.reporter import Reporter


def last_reports(run: Run | None, reporter: Reporter) -> Mapping[str, HealthReport]:
    """The last report of each health plugin that has made one, by the plugin's name."""
    plugins = {} if run is None or run.health is None else run.health.live
    return MappingProxyType(
        {name: _told(plugin, reporter) for name, plugin in plugins.items() if plugin.time}
    )


def json_details(plugin: PluginHealth) -> Mapping[str, object]:
    """The details of its last report in JSON's types."""
    details = {} if plugin.last is None else plugin.last.details
    return cast("Mapping[str, object]", _finite(to_json(details)))


def _told(plugin: PluginHealth, reporter: Reporter) -> HealthReport:
    assert plugin.time is not None
    return HealthReport(
        healthy=plugin.healthy,
        time=plugin.time,
        reason=reporter.masker.text(plugin.reason),
        details=_frozen(reporter.report(Healthy(json_details(plugin))).details),
        latency=plugin.latency,
    )


def _finite(value: Any) -> object:
    match value:
        case dict():
            return {key: _finite(item) for key, item in value.items()}
        case list():
            return [_finite(item) for item in value]
        case float() if not math.isfinite(value):  # JSON has no such number
            return str(value)
        case _:
            return value


def _frozen(value: Any) -> Any:
    match value:
        case dict():
            return MappingProxyType({key: _frozen(item) for key, item in value.items()})
        case list():
            return tuple(_frozen(item) for item in value)
        case _:
            return value
