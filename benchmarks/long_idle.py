"""Ten minutes of 500 idle servers, by the command: what holds up its event loop, and what a sample costs.

    python benchmarks/long_idle.py [--quick]

What happens every 60 s is the memory sample. Here it is taken every 2 s, ten times, which stands for the ten
minutes. The plugin `loop_probe.py` notes how late the event loop is. It takes CPU itself, so that the CPU of
the samples is measured without it: an idle hostler takes none, and what is taken in that time is theirs.
"""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from measuring import Row, children, cpu, until
from stage import HERE, Stage, allow_many_descriptors, hostler, table

INTERVAL = 2.0  # seconds


def measure(quick: bool) -> list[Row]:
    allow_many_descriptors()
    count, samples = (100, 3) if quick else (500, 10)

    with Stage() as stage:
        late = _late(stage, count, samples, f"{INTERVAL:g}s")
        silent = _late(stage, count, samples, "0s")
        used = _used(stage, count, samples)

    return [
        Row(
            f"{count} idle servers, event loop late at most ({samples} samples, each {INTERVAL:g} s, not 60)",
            f"{late:.1f} ms",
            f"without samples: {silent:.1f} ms",
            f"{late / silent:.1f}" if silent else "",
            "under 20 ms",
            late < 20,
        ),
        Row(f"CPU of one memory sample of {count} servers", f"{used / samples * 1000:.1f} ms"),
    ]


def _late(stage: Stage, count: int, samples: int, interval: str) -> float:
    """The worst milliseconds of the event loop while nothing else happens."""
    noted = stage.path("late")
    with _idle(stage, count, interval, noted):
        began = time.monotonic()
        time.sleep(samples * INTERVAL)
        lines = [line.split() for line in noted.read_text().splitlines()]
    return max((float(late) for now, late in lines if float(now) > began), default=0.0)


def _used(stage: Stage, count: int, samples: int) -> float:
    """The seconds of CPU that so many samples take."""
    with _idle(stage, count, f"{INTERVAL:g}s") as process:
        used = cpu(process.pid)
        time.sleep(samples * INTERVAL)
        return cpu(process.pid) - used


@contextmanager
def _idle(
    stage: Stage, count: int, interval: str, noted: Path | None = None
) -> Iterator[subprocess.Popen[str]]:
    """Run so many servers that do nothing, and wait until hostler has started them."""
    servers = []
    for number in range(count):
        plugins = [f'log-rotation = {{ path = "s{number}.log" }}']
        if noted is not None and number == 0:
            use = json.dumps(f"{HERE / 'loop_probe.py'}:LoopProbe")
            plugins.append(f"probe = {{ use = {use}, path = {json.dumps(str(noted))} }}")
        keys = ("port = false", f'memory_interval = "{interval}"')
        servers.append(table(f"s{number}", ["sleep", "10000"], *keys, plugins=plugins))

    process = stage.start(hostler("run", "--quiet", str(stage.write("\n".join(servers)))))
    until(lambda: len(children(process.pid)) >= count, 120, 0.1)
    time.sleep(5)
    yield process
    stage.end(process, 60)


if __name__ == "__main__":
    from run import alone

    alone(measure)
