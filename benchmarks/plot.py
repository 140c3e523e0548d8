"""Draw the rows that have other supervisors beside them as bars: a picture for light pages, one for dark.

python benchmarks/run.py --peers DIR --json rows.json
python benchmarks/plot.py rows.json [--folder docs/images]
"""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

PEERS = ("supervisord", "circus")
FOLDER = Path(__file__).parents[1] / "docs" / "images"
_FIGURE = re.compile(r"([\d.]+) ([\w/]+)")  # the first of a cell: its median and unit


class Theme(NamedTuple):
    """The colours of one picture."""

    paper: str
    ink: str
    hostler: str
    other: str


THEMES = {
    "light": Theme("#ffffff", "#1f2328", "#0969da", "#afb8c1"),
    "dark": Theme("#0d1117", "#e6edf3", "#4493f8", "#484f58"),
}

Bars = dict[str, tuple[float, str]]
"""Of one question: who, the figure, its unit."""


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("rows", type=Path, help="what run.py --json has written")
    parser.add_argument("--folder", type=Path, default=FOLDER)
    given = parser.parse_args()
    panels = bars(json.loads(given.rows.read_text()))

    if not panels:
        parser.error("no row has a peer beside it: run.py --peers DIR --json FILE")

    for name, theme in THEMES.items():
        draw(panels, theme, given.folder / f"benchmarks-{name}.svg")


def bars(rows: Sequence[Mapping[str, str]]) -> dict[str, Bars]:
    """The figures of each question that a peer has an answer to."""
    panels: dict[str, Bars] = {}
    for row in rows:
        peer, _, beside = row["beside"].partition(": ")
        if peer in PEERS and (ours := _figure(row["hostler"])) and (theirs := _figure(beside)):
            panels.setdefault(row["question"], {"hostler": ours})[peer] = theirs
    return panels


def _figure(text: str) -> tuple[float, str] | None:
    found = _FIGURE.search(text)
    return (float(found[1]), found[2]) if found else None


def draw(panels: Mapping[str, Bars], theme: Theme, path: Path) -> None:
    """One small diagram for each question, each with a scale of its own that begins at zero."""
    from matplotlib import rc_context  # noqa: PLC0415 - only this needs it
    from matplotlib.figure import Figure  # noqa: PLC0415

    lines = -(-len(panels) // 2)
    text = {"svg.fonttype": "none", "svg.hashsalt": "hostler", "font.size": 9, "text.color": theme.ink}
    with rc_context(text):
        figure = Figure(figsize=(11, 1.3 * lines), facecolor=theme.paper, layout="constrained")
        axes = figure.subplots(lines, 2, squeeze=False).flat
        for question, shown in panels.items():
            _panel(next(axes), question, shown, theme)
        for empty in axes:
            empty.set_axis_off()
        figure.savefig(path, metadata={"Date": None})


def _panel(axes: Any, question: str, shown: Bars, theme: Theme) -> None:
    values = [value for value, _ in shown.values()]
    colours = [theme.hostler if name == "hostler" else theme.other for name in shown]
    drawn = axes.barh(list(shown), values, color=colours)
    axes.bar_label(drawn, [f"{value:g} {unit}" for value, unit in shown.values()], padding=4, color=theme.ink)
    better = ", more is better" if any(unit == "MB/s" for _, unit in shown.values()) else ""
    axes.set_title(question + better, loc="left", fontsize=10, color=theme.ink)
    axes.set_xlim(0, 1.2 * max(values))
    axes.invert_yaxis()
    axes.set_facecolor(theme.paper)
    axes.tick_params(axis="y", length=0, labelcolor=theme.ink)
    axes.xaxis.set_visible(False)
    axes.spines[:].set_visible(False)


if __name__ == "__main__":
    main()
