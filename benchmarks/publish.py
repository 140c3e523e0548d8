"""Put the rows of one run into README.md of this folder, and keep them in published.json.

python benchmarks/run.py --peers DIR --json rows.json
python benchmarks/publish.py rows.json
python benchmarks/publish.py --check         # does the page show what published.json holds? 1 if not
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from measuring import Row, as_table

HERE = Path(__file__).parent
BEGIN, END = "<!-- one run: written by publish.py -->", "<!-- end of the run -->"
Run = Mapping[str, Any]
"""What run.py --json writes: `machine`, and `rows`."""


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument("rows", type=Path, nargs="?", help="what run.py --json has written")
    which.add_argument("--check", action="store_true", help="change nothing")
    given = parser.parse_args()
    page, published = HERE / "README.md", HERE / "published.json"

    if given.check:
        return int(shown(json.loads(published.read_text())) not in page.read_text())

    run: Run = json.loads(given.rows.read_text())
    if run["machine"]["quick"]:
        parser.error("that was a quick run: only a whole one is shown")

    before, _, rest = page.read_text().partition(BEGIN)
    _, _, after = rest.partition(END)
    page.write_text(before + shown(run) + after)
    shutil.copy(given.rows, published)
    return 0


def shown(run: Run) -> str:
    """The part of the page, its markers included."""
    rows = [Row(**row) for row in run["rows"]]
    goals = [row for row in rows if row.goal]
    missed = [f"- {row.question}: {row.hostler}; {_beside(row)}{row.goal}" for row in goals if not row.met]
    machine = run["machine"]
    peers = ", ".join(f"{name} {version}" for name, version in machine["peers"].items())
    return "\n".join(
        [
            BEGIN,
            "",
            f"hostler {machine['hostler']}, Python {machine['python']}; {peers or 'no peers'}.",
            f"{machine['system']}, {machine['cpu']}.",
            f"{machine['minutes']:.0f} minutes; {machine['before']}; at the end {machine['after']}.",
            "",
            as_table(rows),
            "",
            f"{len(goals) - len(missed)} of {len(goals)} goals are met. Missed:",
            "",
            *(missed or ["- none"]),
            "",
            END,
        ]
    )


def _beside(row: Row) -> str:
    return f"{row.ratio} x of {row.beside}; goal: " if row.ratio else "goal: "


if __name__ == "__main__":
    sys.exit(main())
