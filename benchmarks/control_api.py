"""What the control API costs, and how fast it is while servers crash.

    python benchmarks/control_api.py [--quick]

A hostler in the background beside `hostler run --no-control` of the same file. Requests and event streams
come from another process, `control_load.py`.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from measuring import Row, compared, memory, under, until, wakeups
from stage import AT_ONCE, HERE, Stage, hostler, kill_and_see, next_stamp, table

RATE = 500  # requests a second
CONNECTIONS = 8
STREAMS = 100
HEALTH = ("sse-health = true", "regex-port = true")


def measure(quick: bool) -> list[Row]:
    with Stage() as stage:
        return [
            _memory(stage, "with sse-health", HEALTH, 3),
            _memory(stage, "without", (), 15),
            _quiet(stage, 3 if quick else 10),
            *_unasked(stage, 5 if quick else 30),
            *_under_load(stage, 10 if quick else 60),
            *_events(stage, 10 if quick else 20),
        ]


def _memory(stage: Stage, what: str, plugins: Sequence[str], limit: float) -> Row:
    """After one `ps`, when all of it is imported."""
    for _ in range(2):  # the first compiles modules, which takes memory
        path = stage.path("stamps")
        file = _configuration(stage, table("web", stage.server(path, "--heartbeat", "1"), plugins=plugins))
        alone = stage.start(hostler("run", "--quiet", "--no-control", str(file)))
        next_stamp(path, "listen")
        time.sleep(2)
        before = memory(alone.pid)["rss"]
        stage.end(alone)
        with _background(stage, file) as (pid, _):
            stage.run(hostler("ps", str(file)))
            time.sleep(1)
            after = memory(pid)["rss"]
    question = f"memory of a hostler in the background beside hostler run --no-control, {what}"
    return under(
        question, after - before, "MiB", limit, f"run: RSS {before:.1f} MiB", f"{after / before:.2f}"
    )


def _quiet(stage: Stage, seconds: float) -> Row:
    with _background(stage, _kid(stage)[0]) as (pid, _):
        time.sleep(3)
        before = wakeups(pid)
        time.sleep(seconds)
        count = wakeups(pid) - before
    return Row(
        "wakeups in the background without a client", f"{count} in {seconds:g} s", "", "", "none", count == 0
    )


def _unasked(stage: Stage, rounds: int) -> list[Row]:
    """What listening costs a `hostler run` that nobody asks anything."""
    switches = {"listens": (), "--no-control": ("--no-control",)}
    starts: dict[str, list[float]] = {name: [] for name in switches}
    respawns: dict[str, list[float]] = {name: [] for name in switches}
    for round_ in range(rounds + 1):
        for name, words in switches.items():
            file, path = _kid(stage)
            process = stage.start(hostler("run", "--quiet", *words, str(file)))
            when, pid = next_stamp(path, "exec")
            took = (when - stage.since) / 1e6
            time.sleep(0.3)
            answers = []
            for _ in range(3):
                answer, pid = kill_and_see(path, pid)
                answers.append(answer)
                time.sleep(0.1)
            if round_:  # in the first one modules were compiled
                starts[name].append(took)
                respawns[name] += answers
            stage.end(process)
    return [
        compared("hostler run that nobody asks, to the child", *_pair(starts), 1.02),
        compared("hostler run that nobody asks, SIGKILL to the successor", *_pair(respawns), 1.02),
    ]


def _pair(found: dict[str, list[float]]) -> tuple[list[float], str, list[float]]:
    return found["listens"], "--no-control", found["--no-control"]


def _under_load(stage: Stage, seconds: int) -> list[Row]:
    file, path = _kid(stage)
    with _background(stage, file) as (pid, socket):
        stage.run(hostler("ps", str(file)))
        alone = _crashes(path, seconds // 2)
        before = memory(pid)["rss"]
        load = _load(stage, "requests", socket, RATE, seconds, CONNECTIONS)
        beside = _crashes(path, seconds)
        took = json.loads(_output(load))
        grown = memory(pid)["rss"] - before

    late = statistics.quantiles(took, n=100, method="inclusive")[98]
    question = f"{RATE} requests a second for {seconds} s while a server crashes each second"
    found = (
        f"{len(took)} answered: median {statistics.median(took):.2f}, p99 {late:.2f}, max {max(took):.1f} ms"
    )
    return [
        Row(question, found, goal="p99 under 10 ms", met=late <= 10 and len(took) == RATE * seconds),
        under(f"{question}: memory that came to it", grown, "MiB", 2),
        compared("SIGKILL to the successor beside the requests", beside, "without", alone, 1.5),
    ]


def _events(stage: Stage, seconds: int) -> list[Row]:
    rows, goals = [], {1: (5.0, None), STREAMS: (10.0, 25.0)}
    file, path = _kid(stage)
    with _background(stage, file) as (_, socket):
        stage.run(hostler("ps", str(file)))
        alone = _crashes(path, seconds)
        for count, (usual, worst) in goals.items():
            load = _load(stage, "streams", socket, count, seconds)
            time.sleep(1)
            beside = _crashes(path, seconds - 2)
            late = [value for _, value in json.loads(_output(load))]
            p99 = statistics.quantiles(late, n=100, method="inclusive")[98]
            median = statistics.median(late)
            goal = f"median under {usual:g} ms" + (f", p99 under {worst:g}" if worst else "")
            rows.append(
                Row(
                    f"a change of state to {count} event stream{'s' * (count > 1)}",
                    f"{len(late)} frames: median {median:.2f}, p99 {p99:.2f}, max {max(late):.1f} ms",
                    goal=goal,
                    met=median <= usual and (worst is None or p99 <= worst),
                )
            )
    question = f"SIGKILL to the successor beside {STREAMS} event streams"
    return [*rows, compared(question, beside, "without", alone, 1.3)]


def _crashes(path: Path, seconds: int) -> list[float]:
    """One crash a second; the milliseconds to each successor."""
    pid, took = next_stamp(path, "exec")[1], []
    pid = _last(path)
    for _ in range(seconds):
        answer, pid = kill_and_see(path, pid)
        took.append(answer)
        time.sleep(1)
    return took


def _last(path: Path) -> int:
    return int(path.read_text().splitlines()[-1].split()[2])


def _load(stage: Stage, kind: str, *words: object) -> subprocess.Popen[str]:
    argv = [sys.executable, "-I", "-S", str(HERE / "control_load.py"), kind, *map(str, words)]
    return stage.start(argv, output=subprocess.PIPE)


def _output(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    text = process.stdout.read()
    if process.wait():
        raise TimeoutError("a client was refused")
    return text


def _kid(stage: Stage) -> tuple[Path, Path]:
    path = stage.path("stamps")
    plugins = ['log-rotation = { path = "kid.log" }']
    return _configuration(
        stage, table("kid", [*stage.child, str(path)], "port = false", AT_ONCE, plugins=plugins)
    ), path


def _configuration(stage: Stage, text: str) -> Path:
    folder = stage.path("project")
    folder.mkdir()
    file = folder / "hostler.toml"
    file.write_text(text)
    return file


@contextmanager
def _background(stage: Stage, file: Path) -> Iterator[tuple[int, str]]:
    """The pid and the socket of a hostler that `up` has started."""
    answer = subprocess.run(
        hostler("up", "--json", str(file)), check=True, capture_output=True, env=stage.env, cwd=stage.folder
    )
    found = json.loads(answer.stdout)
    try:
        yield found["pid"], found["socket"]
    finally:
        stage.run(hostler("down", str(file)))
        until(lambda: not Path(f"/proc/{found['pid']}").exists())


if __name__ == "__main__":
    from run import alone

    sys.exit(alone(measure))
