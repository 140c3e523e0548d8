"""Every benchmark, one table.

python benchmarks/run.py [--quick] [--only respawn,idle] [--peers DIR] [--json FILE]
"""

from __future__ import annotations

import argparse
import inspect
import json
import platform
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict
from importlib import import_module
from pathlib import Path
from typing import Any

from measuring import Row, as_table, noise
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
)
TABLES = {
    "flood": ["--megabytes", "50", "--rounds", "2"],
    "event_stream": [],
    "ports": [],
}  # those print their own


def main(words: Sequence[str] | None = None) -> int:
    given = _arguments(words)
    chosen = given.only.split(",") if given.only else [*ROWS, *TABLES]
    forget_ignored_signals()
    print(f"Python {platform.python_version()}, {noise()}\n", flush=True)
    rows: list[Row] = []

    for name in ROWS:
        if name in chosen:
            print(f"{name} ...", file=sys.stderr, flush=True)
            rows += _measured_or_missed(name, given)

    missed = _report(rows, given)

    for name, quick in TABLES.items():
        if name in chosen and (HERE / f"{name}.py").exists():
            print(f"\n{name}.py\n", flush=True)
            subprocess.run(
                [sys.executable, str(HERE / f"{name}.py"), *(quick if given.quick else [])], check=False
            )

    print(f"\nat the end: {noise()}")
    return missed


def alone(measure: Callable[..., list[Row]]) -> int:
    """Run one benchmark by itself; 1 when a goal is missed."""
    given = _arguments(None)
    forget_ignored_signals()
    return _report(_measured(measure, given), given)


def _measured_or_missed(name: str, given: argparse.Namespace) -> list[Row]:
    """What never came is a row that is missed, so that an hour of others is not lost."""
    try:
        return _measured(import_module(name).measure, given)
    except TimeoutError as error:
        return [Row(name, f"not measured: {error}", met=False)]


def _report(rows: Sequence[Row], given: argparse.Namespace) -> int:
    if rows:
        print(as_table(rows), flush=True)
    if given.json:
        given.json.write_text(json.dumps([asdict(row) for row in rows], indent=1))
    return int(any(row.met is False for row in rows))


def _measured(measure: Callable[..., list[Row]], given: argparse.Namespace) -> list[Row]:
    more: dict[str, Any] = {"peers": given.peers} if "peers" in inspect.signature(measure).parameters else {}
    return measure(given.quick, **more)


def _arguments(words: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="fewer rounds")
    parser.add_argument("--only", default="", help="names, separated by commas")
    parser.add_argument("--peers", type=Path, help="a virtual environment with supervisor and circus")
    parser.add_argument("--json", type=Path, help="a file for the rows, which plot.py draws")
    return parser.parse_args(words)


if __name__ == "__main__":
    sys.exit(main())
