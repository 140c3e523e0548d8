"""A server and its folders for every test of the opencode plugin."""

from __future__ import annotations

from pathlib import Path

import pytest
from opencode_view import View


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def view(tmp_path: Path) -> View:
    return View(tmp_path)
