"""The control socket, and users who are not ours."""

from __future__ import annotations

import asyncio
import os
import socket
from pathlib import Path

import pytest
from controlled import controlled, short_folder
from hostler import ControlSpec, Directories, EnvironmentSetupFailed, Supervisor
from hostler.control.control import Control
from other_user import NOBODY, as_root, as_user
from tcp_client import over_tcp


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


@as_root
async def test_another_user_has_no_token_and_gets_nothing_over_tcp(directories: Directories) -> None:
    async with controlled(directories=directories, spec=ControlSpec(tcp="127.0.0.1:0")) as client:
        tcp = over_tcp(client)
        token = tcp.files["read"]
        assert as_user(NOBODY, token.read_text).startswith("PermissionError")
        assert as_user(NOBODY, lambda: list(token.parent.iterdir())).startswith("PermissionError")
        asked = f"GET /v1 HTTP/1.1\r\nHost: {tcp.host}\r\nConnection: close\r\n\r\n".encode()
        answer = await asyncio.to_thread(as_user, NOBODY, lambda: tcp.send(asked).decode())
        assert answer.startswith("HTTP/1.1 401 ")


@as_root
@pytest.mark.parametrize("suffix", ["lock", "sock", "json", "connect.token"])
async def test_what_another_user_has_left_there_is_not_used(directories: Directories, suffix: str) -> None:
    with short_folder() as folder:
        async with Supervisor([], directories=directories) as supervisor:
            control = Control(
                supervisor,
                configuration="x.toml",
                environ={"XDG_STATE_HOME": str(folder)},
                spec=ControlSpec(tcp="127.0.0.1:0"),
            )
            async with control:
                path = Path(control.socket).with_suffix(f".{suffix}")
            path.write_text("theirs")
            path.chmod(0o666)
            os.chown(path, NOBODY, NOBODY)
            if suffix == "lock":
                with pytest.raises(EnvironmentSetupFailed, match=f"it belongs to user {NOBODY}"):
                    await control.__aenter__()
                assert path.read_text() == "theirs"
                return
            async with control:
                found = path.lstat()
                assert (found.st_uid, found.st_mode & 0o777) == (0, 0o600)
