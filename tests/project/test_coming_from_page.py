"""The page for users of other tools: `hostler import` writes what it shows, and hostler takes all of it."""

from __future__ import annotations

from pathlib import Path

import import_page
import pytest
from hostler import load

TEXT = import_page.PAGE.read_text()
BLOCKS = import_page.blocks(TEXT)
FILES = {"Procfile", "ecosystem.config.json", "compose.yaml", "process-compose.yaml", "supervisord.conf"}


def test_the_page_shows_what_import_writes() -> None:
    assert BLOCKS.keys() == FILES | {"hostler.toml", *(f"hostler import {name}" for name in FILES)}
    assert import_page.page(TEXT) == TEXT, "run python tests/support/import_page.py"


@pytest.mark.parametrize("title", [title for title in BLOCKS if title not in FILES])
def test_every_configuration_on_the_page_loads(title: str, tmp_path: Path) -> None:
    file = tmp_path / "hostler.toml"
    file.write_text(BLOCKS[title])
    assert list(load(file).servers) == ["web", "worker"]
