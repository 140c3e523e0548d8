"""Other supervisors, for a ratio in the same run: those that are installed in the virtual environment DIR.

python -m venv DIR && DIR/bin/pip install supervisor circus
python benchmarks/run.py --peers DIR
"""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeAlias

from stage import Stage

Start: TypeAlias = Callable[[Stage, Sequence[str]], subprocess.Popen[str]]


def respawning_peers(peers: Path | None) -> dict[str, Start]:
    """How to have one child kept up by each peer, in its fastest setting."""
    starts: dict[str, Start] = {}
    if peers is not None and (peers / "bin" / "supervisord").exists():
        starts["supervisord"] = lambda stage, argv: supervisord(stage, peers, [argv])
    if peers is not None and (peers / "bin" / "circusd").exists():
        starts["circus"] = lambda stage, argv: circus(stage, peers, [argv])
    return starts


def supervisord(stage: Stage, peers: Path, commands: Sequence[Sequence[str]]) -> subprocess.Popen[str]:
    folder = stage.path("supervisord")
    folder.mkdir()
    lines = [
        "[supervisord]",
        "nodaemon=true",
        f"logfile={folder}/log",
        f"pidfile={folder}/pid",
        f"childlogdir={folder}",
    ]

    for number, argv in enumerate(commands):
        lines += [f"[program:p{number}]", f"command={' '.join(argv)}", "autorestart=true", "startsecs=0"]

    (folder / "conf").write_text("\n".join(lines) + "\n")
    return stage.start([str(peers / "bin" / "supervisord"), "-c", str(folder / "conf")])


def circus(stage: Stage, peers: Path, commands: Sequence[Sequence[str]]) -> subprocess.Popen[str]:
    folder = stage.path("circus")
    folder.mkdir()
    lines = [
        "[circus]",
        f"endpoint=ipc://{folder}/c.sock",
        f"pubsub_endpoint=ipc://{folder}/p.sock",
        "multicast_endpoint=udp://127.0.0.1:1",  # invalid on purpose: no discovery of other machines
        "check_delay=0.05",
    ]

    for number, argv in enumerate(commands):
        lines += [f"[watcher:p{number}]", f"cmd={argv[0]}", f"args={' '.join(argv[1:])}", "max_retry=-1"]

    (folder / "ini").write_text("\n".join(lines) + "\n")
    return stage.start([str(peers / "bin" / "circusd"), str(folder / "ini")])
