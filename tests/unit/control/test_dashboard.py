"""The listener of the dashboard after a hostler was killed."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from hostler.control.dashboard import Dashboard
from hostler.control.page_tokens import PageTokens
from hostler.control.request_counts import RequestCounts


@asynccontextmanager
async def restored(path: Path) -> AsyncIterator[Dashboard]:
    found = Dashboard(lambda: (), RequestCounts(), str(path))
    await found.restore()
    try:
        yield found
    finally:
        await found.close()


async def test_it_listens_again_at_the_port_that_its_pages_know(tmp_path: Path) -> None:
    path = tmp_path / "key.dashboard"
    async with restored(path) as found:
        assert found.idle_for == float("inf")  # nothing was left
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    PageTokens(str(path), port).new()
    async with restored(path) as found:
        await found.restore()  # a second time it does nothing
        socket.create_connection(("127.0.0.1", port)).close()
    assert not path.exists()


async def test_where_another_program_has_that_port_its_pages_are_given_up(tmp_path: Path) -> None:
    path = tmp_path / "key.dashboard"
    with socket.create_server(("127.0.0.1", 0)) as taken:
        PageTokens(str(path), taken.getsockname()[1]).new()
        async with restored(path) as found:
            assert found.idle_for == float("inf")
            assert not path.exists()
