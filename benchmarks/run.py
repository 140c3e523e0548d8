"""Every benchmark, one table.

python benchmarks/run.py [--quick] [--only respawn,idle] [--peers DIR] [--json FILE]
"""

from __future__ import annotations

import argparse
import inspect
import json
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from importlib import import_module
from pathlib import Path
from typing import Any

from machine import described, noise
from measuring import Row, as_table
from stage import HERE, forget_ignored_signals

ROWS = (
    "respawn",
    "readiness",
    "startup",
    "idle",
    "long_idle",
    "many",
    "scale",
    "storm",
    "health_cost",
    "flood_command",
    "growth",
    "client_commands",
    "control_api",
    "log_readers",
    "dashboard",
)
TABLES = ("event_stream", "ports")  # those print their own


def main(words: Sequence[str] | None = None) -> int:
    given = _arguments(words)
    chosen = given.only.split(",") if given.only else [*ROWS, *TABLES]
    forget_ignored_signals()
    machine = described(given.peers, quick=given.quick)
    print(f"Python {machine['python']}, {machine['before']}\n", flush=True)
    rows: list[Row] = []

    for name in ROWS:
        if name in chosen:
            begin = time.monotonic()
            rows += _measured_or_missed(name, given)
            _keep(rows, given, machine)  # at once, as the whole takes long
            print(f"{name}: {time.monotonic() - begin:.0f} s", file=sys.stderr, flush=True)

    missed = _report(rows, given, machine)

    for name in TABLES:
        if name in chosen:
            print(f"\n{name}.py\n", flush=True)
            subprocess.run([sys.executable, str(HERE / f"{name}.py")], check=False)

    print(f"\nat the end: {noise()}")
    return missed


def alone(measure: Callable[..., list[Row]]) -> int:
    """Run one benchmark by itself; 1 when a goal is missed."""
    given = _arguments(None)
    forget_ignored_signals()
    machine = described(given.peers, quick=given.quick)
    return _report(_measured(measure, given), given, machine)


def _measured_or_missed(name: str, given: argparse.Namespace) -> list[Row]:
    """What never came is a row that is missed, so that an hour of others is not lost."""
    try:
        return _measured(import_module(name).measure, given)
    except TimeoutError as error:
        return [Row(name, f"not measured: {error}", met=False)]


def _report(rows: Sequence[Row], given: argparse.Namespace, machine: dict[str, Any]) -> int:
    if rows:
        print(as_table(rows), flush=True)
    _keep(rows, given, machine)
    return int(any(row.met is False for row in rows))


def _keep(rows: Sequence[Row], given: argparse.Namespace, machine: dict[str, Any]) -> None:
    if given.json:
        minutes = (time.monotonic() - machine["since"]) / 60
        about = {**machine, "after": noise(), "minutes": round(minutes, 1)}
        del about["since"]
        run = {"machine": about, "rows": [asdict(row) for row in rows]}
        given.json.write_text(json.dumps(run, indent=1) + "\n")


def _measured(measure: Callable[..., list[Row]], given: argparse.Namespace) -> list[Row]:
    more: dict[str, Any] = {"peers": given.peers} if "peers" in inspect.signature(measure).parameters else {}
    return measure(given.quick, **more)


def _arguments(words: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="fewer rounds")
    parser.add_argument("--only", default="", help="names, separated by commas")
    parser.add_argument("--peers", type=Path, help="a folder with other supervisors, see peers.py")
    parser.add_argument("--json", type=Path, help="a file for publish.py and plot.py")
    return parser.parse_args(words)


if __name__ == "__main__":
    sys.exit(main())
