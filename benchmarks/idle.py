"""What hostler costs while nothing happens: memory with one server, wakeups with 1 and with 50.

python benchmarks/idle.py [--quick]
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Sequence

from measuring import Row, children, cpu, memory, until, wakeups
from stage import Stage, hostler, next_stamp, table

ALL = (
    "regex-port = true",
    "sse-health = true",
    'log-rotation = { path = "server.log" }',
    "env-sanitizer = true",
)


def measure(quick: bool) -> list[Row]:
    seconds = 3.0 if quick else 10.0
    with Stage() as stage:
        return [
            _memory(stage, "log-rotation", ALL[2:3], 30),
            _memory(stage, "all its plugins", ALL, 50),
            *(_wakeups(stage, count, seconds) for count in (1, 50)),
        ]


def _memory(stage: Stage, what: str, plugins: Sequence[str], limit: float) -> Row:
    path = stage.path("stamps")
    file = stage.write(table("web", stage.server(path, "--heartbeat", "1"), plugins=plugins))

    for _ in range(2):  # the first compiles modules, which takes memory
        process, now = stage.start(hostler("run", str(file))), time.monotonic_ns()
        next_stamp(path, "listen", now)
        time.sleep(2.5)
        sizes = memory(process.pid)
        stage.end(process)

    bare = stage.start([sys.executable, "-c", "import signal; signal.pause()"])
    time.sleep(0.3)
    beside = f"bare Python: RSS {memory(bare.pid)['rss']:.1f} MiB"
    found = f"RSS {sizes['rss']:.1f}, PSS {sizes['pss']:.1f}, USS {sizes['uss']:.1f} MiB"
    goal, met = f"RSS under {limit:g} MiB", sizes["rss"] < limit
    return Row(f"memory with one server, {what}", found, beside, goal=goal, met=met)


def _wakeups(stage: Stage, count: int, seconds: float) -> Row:
    plugins = ("regex-port = true", 'log-rotation = {{ path = "{}.log" }}')
    servers = [_quiet_server(stage, f"s{number}", plugins) for number in range(count)]
    process = stage.start(hostler("run", "--quiet", str(stage.write("\n".join(servers)))))
    until(lambda: len(children(process.pid)) == count, 60)
    time.sleep(3)
    until(lambda: not _busy(process), 60)
    before, used = wakeups(process.pid), cpu(process.pid)
    time.sleep(seconds)
    number, used = wakeups(process.pid) - before, cpu(process.pid) - used
    stage.end(process)
    found = f"{number} in {seconds:g} s, {used * 1000:.2f} ms of CPU"
    return Row(
        f"wakeups with {count} idle servers, between two memory samples", found, "", "", "none", number == 0
    )


def _quiet_server(stage: Stage, name: str, plugins: tuple[str, ...]) -> str:
    own = [line.format(name) if "{}" in line else line for line in plugins]
    return table(name, stage.server(stage.path("stamps")), 'startup_timeout = "60s"', plugins=own)


def _busy(process: subprocess.Popen[str]) -> bool:
    before = wakeups(process.pid)
    time.sleep(0.5)
    return wakeups(process.pid) != before


if __name__ == "__main__":
    from run import alone

    alone(measure)
