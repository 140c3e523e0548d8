"""What was scraped from /metrics, read by the library's own parsers, and checked by promtool."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator, Mapping
from typing import NamedTuple, Protocol

import pytest
from controlled import Client
from prometheus_client import Metric
from prometheus_client.openmetrics.parser import text_string_to_metric_families as open_metrics
from prometheus_client.parser import text_string_to_metric_families as plain_text

OPEN_METRICS = "application/openmetrics-text; version=1.0.0"


class Answered(Protocol):
    """An answer of the control socket, or over TCP."""

    @property
    def status(self) -> int: ...
    @property
    def headers(self) -> Mapping[str, str]: ...
    @property
    def body(self) -> bytes: ...


class Series(NamedTuple):
    """One series: its name, and its labels in their order."""

    name: str
    labels: tuple[tuple[str, str], ...]


class Scrape:
    """All series of one answer, with their values."""

    def __init__(self, answer: Answered) -> None:
        assert answer.status == 200, answer.body
        self.text = answer.body.decode()
        parse = open_metrics if "openmetrics" in answer.headers["content-type"] else plain_text
        self.families: list[Metric] = list(parse(self.text))
        self.values: Mapping[Series, float] = dict(self._series())

    def _series(self) -> Iterator[tuple[Series, float]]:
        for family in self.families:
            for sample in family.samples:
                yield Series(sample.name, tuple(sorted(sample.labels.items()))), sample.value

    def value(self, name: str, **labels: str) -> float | None:
        """That of a series of hostler; None where there is none."""
        return self.values.get(Series(f"hostler_{name}", tuple(sorted(labels.items()))))

    def of_server(self, name: str, **labels: str) -> float | None:
        """That of a series of the server `fake`."""
        return self.value(f"server_{name}", server="fake", **labels)

    @property
    def names(self) -> set[str]:
        """Those of the series of hostler, a histogram by its own."""
        own = {s.name for s in self.values if s.name.startswith("hostler_")}
        parts = {"_bucket", "_count", "_sum"}
        histograms = {f.name for f in self.families if f.type == "histogram"}
        return (own - {name + part for name in histograms for part in parts}) | histograms

    @property
    def counters(self) -> dict[Series, float]:
        """What may only grow."""
        kinds = {"counter", "histogram"}
        names = {one.name for family in self.families if family.type in kinds for one in family.samples}
        return {series: value for series, value in self.values.items() if series.name in names}


async def scrape(client: Client) -> Scrape:
    return Scrape(await client.ask("GET", "/metrics"))


def promtool(*words: str, text: str = "") -> tuple[int, str]:
    """How promtool ends, and what it says. Skips where it is missing: it comes with Debian's prometheus."""
    program = shutil.which("promtool")
    if program is None:
        pytest.skip("promtool is not there; apt-get install prometheus")
    argv = [program, *words]
    done = subprocess.run(argv, input=text, capture_output=True, text=True, check=False, timeout=60)
    return done.returncode, done.stdout + done.stderr
