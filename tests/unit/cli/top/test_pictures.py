"""The pictures of `hostler top` in the docs: `python tests/support/top_screenshot.py` makes them anew."""

from __future__ import annotations

import html
import re
from pathlib import Path

import pytest
from hostler.cli.top.app import Top
from hostler.cli.top.words import HEAD
from textual.binding import Binding

IMAGES = Path(__file__).parents[4] / "docs" / "images"


@pytest.mark.parametrize("name", ["top.svg", "top-light.svg"])
def test_a_picture_in_the_docs_shows_what_top_shows(name: str) -> None:
    picture = (IMAGES / name).read_text()
    text = html.unescape(re.sub(r"<[^>]+>", " ", picture)).replace("\xa0", " ")
    keys = [one for one in Binding.make_bindings(Top.BINDINGS) if one.show]
    assert [word for word in [*HEAD, *(one.description for one in keys)] if word not in text] == []
    assert (
        re.findall(r"@font-face|@import|url\((?!#)|href", picture) == []
    )  # nothing is fetched from elsewhere


def test_the_light_picture_is_light() -> None:
    darkness = []
    for name in ("top.svg", "top-light.svg"):
        reds = re.findall(r'fill="#(\w\w)', (IMAGES / name).read_text())
        darkness.append(sum(int(one, 16) for one in reds) // len(reds))
    assert darkness[0] < 100
    assert darkness[1] > 150
