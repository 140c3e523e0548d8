"""The listener of the dashboard after a hostler was killed."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from hostler.control.dashboard import Dashboard
from hostler.control.dashboard_shapes import DashboardChoice
from hostler.control.http_server import HttpServer
from hostler.control.page_tokens import PageTokens
from hostler.control.problems import Refused
from hostler.control.request_counts import RequestCounts
from hostler.control.routes import Call


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


async def test_one_that_is_closed_while_it_opens_leaves_no_listener_and_opens_no_other(
    tmp_path: Path,
) -> None:
    path = tmp_path / "key.dashboard"
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    PageTokens(str(path), port).new()
    found = Dashboard(lambda: (), RequestCounts(), str(path))
    restoring = asyncio.create_task(found.restore())
    await asyncio.sleep(0)
    await found.close()
    await restoring
    socket.create_server(("127.0.0.1", port)).close()
    assert not path.exists()
    with pytest.raises(Refused, match="about to end"):
        await found.open(Call(body=DashboardChoice()))


async def test_a_listener_that_cannot_be_served_is_closed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[socket.socket] = []

    async def fail(_: HttpServer, listener: socket.socket) -> None:  # as where the loop has no room for it
        given.append(listener)
        raise OSError("no room")

    monkeypatch.setattr(HttpServer, "listen", fail)
    async with restored(tmp_path / "key.dashboard") as found:
        with pytest.raises(OSError, match="no room"):
            await found.open(Call(body=DashboardChoice()))
    assert [one.fileno() for one in given] == [-1]
