"""Draw what hostler and its peers do in the same way as bars: a picture for light pages, one for dark.

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

FOLDER = Path(__file__).parents[1] / "docs" / "images"
_FIGURE = re.compile(r"([\d.]+) ([^(]*[^( ])")  # of a cell: its median and unit


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
"""Of one title: who, the figure, its unit."""


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("rows", type=Path, help="what run.py --json has written")
    parser.add_argument("--folder", type=Path, default=FOLDER)
    given = parser.parse_args()
    panels = bars(json.loads(given.rows.read_text())["rows"])

    if not panels:
        parser.error("no row has a peer beside it: run.py --peers DIR --json FILE")

    for name, theme in THEMES.items():
        draw(panels, theme, given.folder / f"benchmarks-{name}.svg")


def bars(rows: Sequence[Mapping[str, str]]) -> dict[str, Bars]:
    """The figures of each row that has a title: nothing else can be compared."""
    panels: dict[str, Bars] = {}
    for row in rows:
        peer, _, beside = row["beside"].partition(": ")
        if row["title"] and (ours := _figure(row["hostler"])) and (theirs := _figure(beside)):
            panels.setdefault(row["title"], {"hostler": ours})[peer] = theirs
    return panels


def _figure(text: str) -> tuple[float, str] | None:
    found = _FIGURE.match(text)
    return (float(found[1]), found[2]) if found else None


def draw(panels: Mapping[str, Bars], theme: Theme, path: Path) -> None:
    """One small diagram for each title, each with a scale of its own that begins at zero."""
    from matplotlib import rc_context  # noqa: PLC0415 - only this needs it
    from matplotlib.figure import Figure  # noqa: PLC0415

    lines = -(-len(panels) // 2)
    heights = [max(map(len, list(panels.values())[at : at + 2])) + 1.2 for at in range(0, len(panels), 2)]
    text = {"svg.fonttype": "none", "svg.hashsalt": "hostler", "font.size": 9, "text.color": theme.ink}
    with rc_context(text):
        figure = Figure(figsize=(11, 0.27 * sum(heights)), facecolor=theme.paper, layout="constrained")
        axes = figure.subplots(lines, 2, squeeze=False, height_ratios=heights).flat
        for title, shown in panels.items():
            _panel(next(axes), title, shown, theme)
        for empty in axes:
            empty.set_axis_off()
        figure.savefig(path, metadata={"Date": None})


def _panel(axes: Any, title: str, shown: Bars, theme: Theme) -> None:
    values = [value for value, _ in shown.values()]
    colours = [theme.hostler if name == "hostler" else theme.other for name in shown]
    drawn = axes.barh(list(shown), values, color=colours, height=0.7)
    axes.bar_label(drawn, [f"{value:g} {unit}" for value, unit in shown.values()], padding=4, color=theme.ink)
    better = "more" if any(unit == "MB/s" for _, unit in shown.values()) else "less"
    axes.set_title(f"{title} ({better} is better)", loc="left", fontsize=10, color=theme.ink)
    axes.set_xlim(0, 1.3 * max(values))
    axes.invert_yaxis()
    axes.set_facecolor(theme.paper)
    axes.tick_params(axis="y", length=0, labelcolor=theme.ink)
    axes.xaxis.set_visible(False)
    axes.spines[:].set_visible(False)


if __name__ == "__main__":
    main()
