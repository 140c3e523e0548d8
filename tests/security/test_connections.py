"""A password goes over no connection that somebody else has taken, for however short a time they listen."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, nullcontext
from dataclasses import dataclass, field
from typing import cast

import anyio
import pytest
from hostler import Auth, Endpoint, IdentityCheck, PortInUse
from hostler.process.spawn.exits import Process
from hostler.runtime.listener_identity import verify_listener
from hostler_plugins.http_health import HttpHealth
from hostler_plugins.opencode.client import Place, status_of
from hostler_plugins.sse_health import SseHealth
from hostler_plugins.tcp_health import TcpHealth
from http_pages import HealthContext, unhealthy, watching
from listeners import LISTENER, THIEF, Leader, Tree, as_root

PASSWORD = "planted-password-of-a-test"

linux = pytest.mark.skipif(sys.platform != "linux", reason="a connection's other end is seen on Linux alone")


@asynccontextmanager
async def listening(uid: int) -> AsyncIterator[tuple[int, int]]:
    """A process of a user that listens on 127.0.0.1: its pid and port."""
    argv = [sys.executable, "-I", "-S", "-c", LISTENER.format(uid=uid)]
    async with await anyio.open_process(argv) as process:
        assert process.stdout is not None
        yield process.pid, int(await process.stdout.receive())
        process.kill()


@dataclass(eq=False)
class Toggled(HealthContext):
    """A server at 127.0.0.1; once it was looked up, this process listens at ::1 until somebody has come."""

    own: int = 0
    port: int = 0
    heard: list[bytes] = field(default_factory=list)
    looks: int = 0
    gone: threading.Event = field(default_factory=threading.Event)

    def is_secret(self, text: str) -> bool:
        return PASSWORD in text

    def verify_listener(self, *, secret: bool = False, at: Endpoint | None = None) -> None:
        assert at is not None
        assert secret
        self.looks += 1

        if self.looks == 2:
            assert self.gone.wait(20)

        leader = cast("Process", Leader(self.own))
        verify_listener(at, leader, Tree(self.own), IdentityCheck.CHECK, secret=secret)

        if self.looks == 1:
            thief = socket.create_server(("::1", self.port), family=socket.AF_INET6)
            threading.Thread(target=self.steal, args=[thief], daemon=True).start()

    def steal(self, thief: socket.socket) -> None:
        taken = thief.accept()[0]
        thief.close()
        self.gone.set()
        with taken:
            try:
                self.heard.append(taken.recv(4096))
            except ConnectionResetError:
                self.heard.append(b"")


@linux
@pytest.mark.parametrize("plugin", ["http", "sse", "tcp", "opencode"])
async def test_nothing_is_said_to_who_listened_for_a_moment_at_another_address_of_the_name(
    plugin: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = socket.getaddrinfo

    def both(host: str, *more: object, **options: object) -> list[object]:
        names = ["::1", "127.0.0.1"] if host == "localhost" else [host]
        return [found for name in names for found in real(name, *more, **options)]  # type: ignore[arg-type]

    monkeypatch.setattr(socket, "getaddrinfo", both)

    async with listening(os.geteuid()) as (pid, port):
        server, place = Toggled(own=pid, port=port), Endpoint("localhost", port)
        http = HttpHealth()
        http.sent_headers = {"X-Api-Key": PASSWORD}
        kinds: dict[str, HttpHealth | SseHealth | TcpHealth] = {
            "http": http,
            "sse": SseHealth(headers={"X-Api-Key": PASSWORD}),
            "tcp": TcpHealth(send=PASSWORD),
        }
        if plugin == "opencode":
            with pytest.raises(OSError, match="http://"):
                await status_of(Place(server, place, "/"), Auth("user", PASSWORD))
        else:
            async with watching(kinds[plugin], server, place) as reports:
                await unhealthy(reports)
        with anyio.fail_after(20):
            while not server.heard:  # noqa: ASYNC110 - the thief is a thread
                await anyio.sleep(0.01)

    assert server.heard == [b""]
    assert server.looks == 2


TAKER = """
import os, socket, sys
os.setgid({uid}); os.setuid({uid})
one = socket.create_server(("127.0.0.1", 0))
print(one.getsockname()[1], flush=True)
taken = one.accept()[0]
one.close()
print("taken", flush=True)
sys.stdin.read()
"""


@as_root
@pytest.mark.parametrize("netlink", [True, False])
@pytest.mark.parametrize("worker", [True, False])
def test_a_connection_that_another_user_took_before_the_server_listened_is_none_of_the_server(
    worker: bool, netlink: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process of the tree may have taken it, though, whatever its user."""
    if not netlink:
        monkeypatch.setattr(socket, "AF_NETLINK", 9999)

    argv = [sys.executable, "-I", "-S", "-c", TAKER.format(uid=THIEF)]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as taker:
        assert taker.stdout is not None
        port = int(taker.stdout.readline())
        with socket.create_connection(("127.0.0.1", port)) as ours:
            taker.stdout.readline()
            tree = Tree(os.getpid(), *[taker.pid] * worker)
            with (
                socket.create_server(("127.0.0.1", port)),
                nullcontext() if worker else pytest.raises(PortInUse, match=f"user {THIEF}"),
            ):
                verify_connection_of(ours, tree)
        taker.kill()


@linux
@pytest.mark.parametrize("netlink", [True, False])
@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_a_connection_to_the_server_counts_from_the_moment_when_it_is_made(
    host: str, netlink: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not netlink:
        monkeypatch.setattr(socket, "AF_NETLINK", 9999)

    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with (
        socket.create_server((host, 0), family=family) as own,
        socket.create_connection(own.getsockname()[:2]) as ours,
    ):
        verify_connection_of(ours, Tree(os.getpid()))
        with own.accept()[0]:
            verify_connection_of(ours, Tree(os.getpid()))
        with pytest.raises(ConnectionResetError):
            verify_connection_of(ours, Tree(os.getpid()), port=1)  # there is none from there


def verify_connection_of(ours: socket.socket, tree: Tree, port: int = 0) -> None:
    near, far = ours.getsockname(), ours.getpeername()
    place = Endpoint(far[0], far[1], near=(near[0], port or near[1]))
    leader = cast("Process", Leader(os.getpid()))
    verify_listener(place, leader, tree, IdentityCheck.CHECK, secret=True)
