"""Ten minutes of 500 idle servers, by the command: what holds up its event loop, and what a sample costs.

    python benchmarks/long_idle.py [--quick]

What happens every 60 s is the memory sample. Here it is taken every 3 s, ten times, which stands for the ten
minutes; beside it the same without samples. The plugin `loop_probe.py` notes how late the event loop is.
"""

from __future__ import annotations

import json
import time

from measuring import Row, children, cpu, until
from stage import HERE, Stage, allow_many_descriptors, hostler, table

INTERVAL = 3.0  # seconds


def measure(quick: bool) -> list[Row]:
    allow_many_descriptors()
    count, samples = (100, 3) if quick else (500, 10)

    with Stage() as stage:
        late, used = _idle(stage, count, samples * INTERVAL, f"{INTERVAL:g}s")
        silent, unavoidable = _idle(stage, count, samples * INTERVAL, "0s")

    return [
        Row(
            f"{count} idle servers, event loop late at most ({samples} samples, each {INTERVAL:g} s, not 60)",
            f"{late:.1f} ms",
            f"without samples: {silent:.1f} ms",
            f"{late / silent:.1f}" if silent else "",
            "under 20 ms",
            late < 20,
        ),
        Row(
            f"CPU of one memory sample of {count} servers",
            f"{(used - unavoidable) / samples * 1000:.1f} ms",
        ),
    ]


def _idle(stage: Stage, count: int, seconds: float, interval: str) -> tuple[float, float]:
    """The worst milliseconds of the event loop, and the seconds of CPU, while nothing else happens."""
    noted = stage.path("late")
    servers = []
    for number in range(count):
        plugins = [f'log-rotation = {{ path = "s{number}.log" }}']
        if number == 0:
            use = json.dumps(f"{HERE / 'loop_probe.py'}:LoopProbe")
            plugins.append(f"probe = {{ use = {use}, path = {json.dumps(str(noted))} }}")
        argv = ["sleep", "10000"]
        keys = ("port = false", f'memory_interval = "{interval}"')
        servers.append(table(f"s{number}", argv, *keys, plugins=plugins))

    process = stage.start(hostler("run", "--quiet", str(stage.write("\n".join(servers)))))
    until(lambda: len(children(process.pid)) >= count, 120, 0.1)
    time.sleep(5)
    began, used = time.monotonic(), cpu(process.pid)
    time.sleep(seconds)
    used = cpu(process.pid) - used
    lines = [line.split() for line in noted.read_text().splitlines()]
    stage.end(process, 60)
    return max((float(late) for now, late in lines if float(now) > began), default=0.0), used


if __name__ == "__main__":
    from run import alone

    alone(measure)
