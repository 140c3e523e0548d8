"""A server and its folders for every test of the opencode plugin."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from opencode_context import Context, clean_up
from output_capture import running_reader


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def view(tmp_path: Path) -> Iterator[Context]:
    with running_reader() as reader:
        given = Context(tmp_path, reader)
        yield given
        for launch in given.launches:
            clean_up(launch)
