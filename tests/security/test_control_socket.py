"""The control socket, and users who are not ours."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path

from controlled import controlled
from hostler import Directories
from other_user import NOBODY, as_root, as_user


def ask(path: str) -> str:
    """What the socket answers to a request."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(10)
        connection.connect(path)
        connection.sendall(b"GET /v1 HTTP/1.0\r\n\r\n")
        return connection.recv(100).decode()


@as_root
async def test_another_user_cannot_reach_the_socket(directories: Directories) -> None:
    async with controlled(directories=directories) as client:
        path = client.control.socket
        assert as_user(NOBODY, lambda: ask(path)).startswith("PermissionError")


@as_root
async def test_another_user_who_gets_to_the_socket_is_sent_away_unheard(directories: Directories) -> None:
    async with controlled(directories=directories) as client:
        await client.get("/v1")
        path = Path(client.control.socket)
        for folder in path.parents[:3]:
            folder.chmod(0o755)
        path.chmod(0o666)  # noqa: ASYNC240

        answer = await asyncio.to_thread(as_user, NOBODY, lambda: ask(str(path)))
        assert answer.startswith(("ConnectionResetError", "BrokenPipeError")) or answer == ""
        assert await client.get("/v1")
