"""What a run was made on: the machine, and the versions of everybody in it."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from hostler import __version__


def described(peers: Path | None, *, quick: bool) -> dict[str, Any]:
    """The machine at the beginning of a run, as run.py --json writes it."""
    commit = _told(["git", "-C", str(Path(__file__).parent), "describe", "--always"])
    return {
        "since": time.monotonic(),
        "quick": quick,
        "hostler": f"{__version__} ({commit})",
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.release().partition('-')[0]}",
        "cpu": _cpu(),
        "before": noise(),
        "peers": {} if peers is None else _versions(peers),
    }


def noise() -> str:
    """How busy the machine is with other things."""
    try:
        pressure = Path("/proc/pressure/cpu").read_text().split("avg10=")[1].split()[0] + " % CPU pressure"
    except (OSError, IndexError):
        pressure = "CPU pressure not told"
    return f"load {os.getloadavg()[0]:.2f}, {pressure}"


def _cpu() -> str:
    model = ""
    with suppress(OSError):
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        model = next((line.partition(": ")[2] for line in lines if line.startswith("model name")), "")
    return f"{os.cpu_count()} x {model or platform.machine()}"


def _versions(peers: Path) -> dict[str, str]:
    found = {
        "supervisord": _told([str(peers / "bin" / "supervisord"), "--version"]),
        "circus": _told([str(peers / "bin" / "circusd"), "--version"]),
        "pm2": "",
    }
    with suppress(OSError):
        package = (peers / "node_modules" / "pm2" / "package.json").read_text()
        found["pm2"] = json.loads(package)["version"]
    return {name: version for name, version in found.items() if version}


def _told(argv: list[str]) -> str:
    with suppress(OSError):
        return subprocess.run(argv, check=False, capture_output=True, text=True).stdout.strip()
    return ""
