"""Other supervisors, for a ratio in the same run: those that are installed in the folder DIR.

python -m venv DIR && DIR/bin/pip install supervisor circus && npm install --prefix DIR pm2
python benchmarks/run.py --peers DIR
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Protocol

from stage import AT_ONCE, Stage, hostler, table

LOG_SIZE = 10 * 2**20  # as hostler's log-rotation has it


class Start(Protocol):
    """Has children kept up, in the fastest setting; with `keep`, their output goes to rotated files."""

    def __call__(
        self, stage: Stage, commands: Sequence[Sequence[str]], *, keep: int = 0
    ) -> subprocess.Popen[str]: ...


def installed_peers(peers: Path | None) -> dict[str, Start]:
    """How to start each peer that is there."""
    if peers is None:
        return {}

    known = {"supervisord": ("supervisord", _supervisord), "circus": ("circusd", _circus)}
    return {
        name: partial(start, peers / "bin" / program)
        for name, (program, start) in known.items()
        if (peers / "bin" / program).exists()
    }


def pm2(peers: Path | None) -> dict[str, Start]:
    """pm2, where it is there; it keeps a log, and rotates none."""
    program = None if peers is None else peers / "node_modules" / ".bin" / "pm2-runtime"
    return {"pm2": partial(_pm2, program)} if program is not None and program.exists() else {}


def pm2_command(peers: Path | None, home: Path) -> list[str]:
    """The command that talks to pm2's daemon of this home folder; empty where there is no pm2."""
    program = None if peers is None else peers / "node_modules" / ".bin" / "pm2"
    if program is None or not program.exists():
        return []
    return ["env", f"PM2_HOME={home}", "PM2_DISABLE_VERSION_CHECK=1", str(program)]


def supervisors(peers: Path | None) -> dict[str, Start]:
    """hostler's installed command, and the peers."""
    return {"hostler": _hostler, **installed_peers(peers)}


def _hostler(stage: Stage, commands: Sequence[Sequence[str]], *, keep: int = 0) -> subprocess.Popen[str]:
    servers = []
    for number, argv in enumerate(commands):
        rotation = f'log-rotation = {{ path = "s{number}.log", keep = {keep} }}'
        servers.append(table(f"s{number}", argv, "port = false", AT_ONCE, plugins=[rotation] if keep else []))
    return stage.start(hostler("run", "--quiet", str(stage.write("\n".join(servers)))))


def _supervisord(
    program: Path, stage: Stage, commands: Sequence[Sequence[str]], *, keep: int = 0
) -> subprocess.Popen[str]:
    folder = stage.path("supervisord")
    folder.mkdir()
    lines = [
        "[supervisord]",
        "nodaemon=true",
        f"logfile={folder}/log",
        f"pidfile={folder}/pid",
        f"childlogdir={folder}",
        f"minfds={max(1024, 5 * len(commands))}",
    ]

    for number, argv in enumerate(commands):
        lines += [f"[program:p{number}]", f"command={' '.join(argv)}", "autorestart=true", "startsecs=0"]
        if keep:
            lines += [
                "redirect_stderr=true",
                f"stdout_logfile={folder}/p{number}.log",
                f"stdout_logfile_maxbytes={LOG_SIZE}",
                f"stdout_logfile_backups={keep}",
            ]

    (folder / "conf").write_text("\n".join(lines) + "\n")
    return stage.start([str(program), "-c", str(folder / "conf")])


def _circus(
    program: Path, stage: Stage, commands: Sequence[Sequence[str]], *, keep: int = 0
) -> subprocess.Popen[str]:
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
        if keep:
            lines += [
                "stdout_stream.class=FileStream",
                f"stdout_stream.filename={folder}/p{number}.log",
                f"stdout_stream.max_bytes={LOG_SIZE}",
                f"stdout_stream.backup_count={keep}",
            ]

    (folder / "ini").write_text("\n".join(lines) + "\n")
    return stage.start([str(program), str(folder / "ini")])


def _pm2(
    program: Path, stage: Stage, commands: Sequence[Sequence[str]], *, keep: int = 0
) -> subprocess.Popen[str]:
    folder = stage.path("pm2")
    folder.mkdir()
    apps = [
        {
            "name": f"p{number}",
            "script": argv[0],
            "args": argv[1:],
            "interpreter": "none",
            "exec_mode": "fork",
            "vizion": False,
            "max_restarts": 10**9,
            "out_file": f"{folder}/p{number}.log" if keep else "/dev/null",
            "error_file": "/dev/null",
        }
        for number, argv in enumerate(commands)
    ]

    (folder / "apps.json").write_text(json.dumps({"apps": apps}))
    home = {"PM2_HOME": str(folder), "PM2_DISABLE_VERSION_CHECK": "1"}
    env = [f"{name}={value}" for name, value in home.items()]
    return stage.start(["env", *env, str(program), "start", str(folder / "apps.json")])
