"""A server and its folders for every test of the opencode plugin."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from capturing import running_reader
from opencode_view import View, clean_up


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def view(tmp_path: Path) -> Iterator[View]:
    with running_reader() as reader:
        given = View(tmp_path, reader)
        yield given

        for launch in given.launches:
            clean_up(launch)
