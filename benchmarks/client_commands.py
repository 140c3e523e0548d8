"""The commands to a hostler in the background: `ps`, `up` and `down`, beside those of peers.

    python benchmarks/client_commands.py [--quick] [--peers DIR]

Beside `supervisorctl status` and `pm2 list` with a daemon that runs already; `up` beside `hostler run`, and
beside `pm2 start` with no daemon before.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from measuring import Row, compared, until
from peers import pm2_command
from stage import Stage, hostler, table

MANY = 50
Commands = dict[str, Callable[[], float]]


def measure(quick: bool, peers: Path | None = None) -> list[Row]:
    rounds = 5 if quick else 15
    with Stage() as stage:
        return [
            *_looks(stage, rounds, peers),
            *_starts(stage, rounds, peers),
            _stop(stage, 1 if quick else 3),
        ]


def _looks(stage: Stage, rounds: int, peers: Path | None) -> list[Row]:
    one, many = _configuration(stage, 1), _configuration(stage, MANY)
    commands: Commands = {
        "hostler --version": lambda: stage.run(hostler("--version")),
        "ps": lambda: stage.run(hostler("ps", str(one))),
        "ps of many": lambda: stage.run(hostler("ps", str(many))),
    }
    with ExitStack() as stack:
        for file in (one, many):
            stack.enter_context(_background(stage, file))
        commands |= _supervisorctl(stage, stack, peers) | _pm2_list(stage, stack, peers)
        took = _in_turn(commands, rounds)

    question, title = "hostler ps, one server", "A look at one server in the background"
    rows = [
        compared(question, took["ps"], "hostler --version", took["hostler --version"], 0.6),
        compared(f"hostler ps, {MANY} servers", took["ps of many"], "one server", took["ps"], 1.2),
    ]
    limits = {"supervisorctl status": 0.35, "pm2 list": 0.25}
    return rows + [
        compared(question, took["ps"], name, took[name], limit, title=title)
        for name, limit in limits.items()
        if name in took
    ]


def _starts(stage: Stage, rounds: int, peers: Path | None) -> list[Row]:
    file = _configuration(stage, 1)
    commands: Commands = {"hostler run": lambda: _run_to_ready(stage, file), "up": lambda: _up(stage, file)}
    if pm2 := pm2_command(peers, stage.path("pm2")):
        commands["pm2 start"] = lambda: _pm2_start(stage, pm2)
    took = _in_turn(commands, rounds)

    question = "hostler up, nothing there before, to its end (ready)"
    limits = {"hostler run": 1.3, "pm2 start": 0.25}
    title = "A server in the background, nothing there before"
    return [
        compared(question, took["up"], name, took[name], limits[name], title=title if "pm2" in name else "")
        for name in limits
        if name in took
    ]


def _stop(stage: Stage, rounds: int) -> Row:
    """The children end at once, so that all of it is hostler's."""
    file, took = _configuration(stage, MANY), []
    for _ in range(rounds):
        stage.run(hostler("up", str(file)))
        took.append(stage.run(hostler("down", str(file))) / 1000)
    return Row(
        f"hostler down, {MANY} servers that end at SIGTERM",
        f"{max(took):.2f} s",
        goal="under 0.5 s",
        met=max(took) < 0.5,
    )


def _in_turn(commands: Commands, rounds: int) -> dict[str, list[float]]:
    """Each command so many times, in turn; the first round, which compiles modules, is left out."""
    took: dict[str, list[float]] = {name: [] for name in commands}
    for _ in range(rounds + 1):
        for name, command in commands.items():
            took[name].append(command())
    return {name: values[1:] for name, values in took.items()}


def _configuration(stage: Stage, count: int) -> Path:
    folder = stage.path("project")
    folder.mkdir()
    child = [*stage.child, str(folder / "stamps")]
    servers = [table(f"s{number}", child, "port = false") for number in range(count)]
    file = folder / "hostler.toml"
    file.write_text("\n".join(servers))
    return file


@contextmanager
def _background(stage: Stage, file: Path) -> Iterator[None]:
    stage.run(hostler("up", str(file)))
    try:
        yield
    finally:
        stage.run(hostler("down", str(file)))


def _up(stage: Stage, file: Path) -> float:
    took = stage.run(hostler("up", str(file)))
    stage.run(hostler("down", str(file)))
    return took


def _run_to_ready(stage: Stage, file: Path) -> float:
    process = stage.start(hostler("run", "--json", str(file)), output=subprocess.PIPE)
    assert process.stdout is not None
    for line in process.stdout:
        if json.loads(line).get("state") == "running":
            break
    took = (time.monotonic_ns() - stage.since) / 1e6
    stage.end(process)
    return took


def _supervisorctl(stage: Stage, stack: ExitStack, peers: Path | None) -> Commands:
    if peers is None or not (peers / "bin" / "supervisorctl").exists():
        return {}
    folder = stage.path("supervisord")
    folder.mkdir()
    conf = folder / "conf"
    conf.write_text(
        f"[supervisord]\nnodaemon=true\nlogfile={folder}/log\npidfile={folder}/pid\nchildlogdir={folder}\n"
        f"[unix_http_server]\nfile={folder}/sock\n[supervisorctl]\nserverurl=unix://{folder}/sock\n"
        "[rpcinterface:supervisor]\n"
        "supervisor.rpcinterface_factory=supervisor.rpcinterface:make_main_rpcinterface\n"
        f"[program:kid]\ncommand={' '.join(stage.child)} {folder}/stamps\nstartsecs=0\n"
    )
    process = stage.start([str(peers / "bin" / "supervisord"), "-c", str(conf)])
    stack.callback(stage.end, process)
    until((folder / "stamps").exists)
    argv = [str(peers / "bin" / "supervisorctl"), "-c", str(conf), "status"]
    return {"supervisorctl status": lambda: stage.run(argv)}


def _pm2_list(stage: Stage, stack: ExitStack, peers: Path | None) -> Commands:
    pm2 = pm2_command(peers, stage.path("pm2"))
    if not pm2:
        return {}
    stack.callback(stage.run, [*pm2, "kill"])
    stage.run([*pm2, "start", stage.child[0], "--name", "kid", "--", str(stage.path("stamps"))])
    return {"pm2 list": lambda: stage.run([*pm2, "list"])}


def _pm2_start(stage: Stage, pm2: list[str]) -> float:
    took = stage.run([*pm2, "start", stage.child[0], "--name", "kid", "--", str(stage.path("stamps"))])
    stage.run([*pm2, "kill"])
    return took


if __name__ == "__main__":
    from run import alone

    sys.exit(alone(measure))
