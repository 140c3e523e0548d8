"""A password goes to nobody but the processes of the server it belongs to."""

from __future__ import annotations

import ctypes
import errno
import os
import socket
import struct
import sys
import warnings
from collections.abc import Callable, Collection
from contextlib import aclosing, nullcontext
from dataclasses import dataclass, field
from typing import Any, cast

import anyio
import pytest
from hostler import Auth, Duration, Endpoint, Healthy, IdentityCheck, PortInUse, Secret, Unhealthy
from hostler.process.net.ownership import Listener
from hostler.process.spawn.exits import Process
from hostler.runtime.listener_identity import verify_listener
from hostler_plugins.exec_health import ExecHealth
from hostler_plugins.http_health import HttpHealth
from hostler_plugins.opencode.client import Place, status_of
from hostler_plugins.sse_health import SseHealth
from hostler_plugins.tcp_health import TcpHealth
from http_pages import HealthContext, Pages, answer, next_report, pages, unhealthy, watching
from listeners import LISTENER, SERVER, THIEF, Leader, Tree, as_root

CAP_SYS_PTRACE = 19


def as_user(uid: int, work: Callable[[], str]) -> str:
    """What `work` gives in a process of another user."""
    reading, writing = os.pipe()

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of a fork beside threads: the child needs none
        pid = os.fork()

    if pid == 0:
        try:
            os.setgroups([])
            os.setgid(uid)
            os.setuid(uid)
            look_at_nobody()
            os.write(writing, work().encode())
        finally:
            os._exit(0)

    os.close(writing)
    os.waitpid(pid, 0)

    with os.fdopen(reading) as file:
        return file.read()


def look_at_nobody() -> None:
    """Give up the right to look at processes of others, which root has not in every container."""
    libc, header, data = ctypes.CDLL(None), struct.pack("=Ii", 0x20080522, 0), ctypes.create_string_buffer(24)
    assert libc.capget(header, data) == 0
    effective, *others = struct.unpack("=6I", data.raw)
    assert libc.capset(header, struct.pack("=6I", effective & ~(1 << CAP_SYS_PTRACE), *others)) == 0


def verdict(port: int, tree: Collection[int], check: IdentityCheck, *, secret: bool) -> str:
    """Whether a server's user may connect: "yes", or why not. The tree are these processes."""
    pids = list(tree) or [os.getpid()]
    try:
        place, leader = Endpoint("127.0.0.1", port), cast("Process", Leader(pids[0]))
        verify_listener(place, leader, Tree(*pids), check, secret=secret)
    except PortInUse as error:
        return error.message
    except OSError as error:
        return str(error.strerror)

    return "yes"


@as_root
@pytest.mark.parametrize(
    ("hostler", "uid", "member", "check", "secret", "expected"),
    [
        (
            SERVER,
            THIEF,
            False,
            IdentityCheck.CHECK,
            False,
            "another process",
        ),  # its pid cannot be seen, its user can
        (SERVER, THIEF, False, IdentityCheck.CHECK, True, "another process"),
        (SERVER, THIEF, False, IdentityCheck.REQUIRE, True, "another process"),
        (SERVER, 0, False, IdentityCheck.CHECK, False, "yes"),  # what forwards a port into a container
        (SERVER, 0, False, IdentityCheck.CHECK, True, "cannot tell"),
        (SERVER, 0, False, IdentityCheck.REQUIRE, False, "cannot tell"),
        (SERVER, 0, False, IdentityCheck.OFF, True, "yes"),
        (SERVER, THIEF, True, IdentityCheck.REQUIRE, True, "yes"),  # the server itself runs as another user
        (SERVER, SERVER, True, IdentityCheck.REQUIRE, True, "yes"),
        (SERVER, SERVER, None, IdentityCheck.CHECK, False, "yes"),  # of our user, and lets nobody look
        (SERVER, SERVER, None, IdentityCheck.CHECK, True, "cannot tell"),
        (0, SERVER, True, IdentityCheck.CHECK, True, "yes"),  # started by root
        (0, THIEF, False, IdentityCheck.CHECK, True, "another process"),
    ],
)
async def test_a_listener_is_judged_by_its_user_where_its_process_cannot_be_seen(
    hostler: int, uid: int, member: bool | None, check: IdentityCheck, secret: bool, expected: str
) -> None:
    argv = [sys.executable, "-I", "-S", "-c", LISTENER.format(uid=uid)]
    async with await anyio.open_process(argv) as process:
        assert process.stdout is not None
        port = int(await process.stdout.receive())
        tree = [process.pid] if member else [] if member is False else [1]
        said = as_user(hostler, lambda: verdict(port, tree, check, secret=secret))
        process.kill()
    assert expected in said


@dataclass(eq=False)
class Looked(HealthContext):
    """A server whose listener is looked up; from the look with that number on it is a stranger's."""

    thief_comes_at: int = sys.maxsize
    looks: list[bool] = field(default_factory=list)
    secrets: tuple[str, ...] = ()

    def verify_listener(self, *, secret: bool = False, at: Endpoint | None = None) -> None:
        self.looks.append(secret)
        if len(self.looks) >= self.thief_comes_at:
            raise PortInUse("another process listens there instead: pid 1 (thief)")

    def is_secret(self, text: str) -> bool:
        return any(secret in text for secret in self.secrets)


PASSWORD = "planted-password-of-a-test"
HEADERS: dict[str, str] = {"X-Api-Key": PASSWORD}


def quick_http(**options: object) -> HttpHealth:
    plugin = HttpHealth(interval=Duration(0.02), timeout=Duration(2), **options)  # type: ignore[arg-type]
    plugin.sent_headers = dict(HEADERS)
    return plugin


@pytest.mark.parametrize("look", [1, 2])
@pytest.mark.parametrize("plugin", ["http", "sse", "tcp", "opencode"])
async def test_nothing_is_said_to_a_stranger_who_comes_before_or_while_it_is_connected_to(
    plugin: str, look: int
) -> None:
    server = Looked(thief_comes_at=look, secrets=(PASSWORD,))
    async with pages(answer()) as page:
        reason = await ask(plugin, server, page)
        assert "another process listens there instead: pid 1 (thief)" in reason
    assert page.requests == []
    assert server.looks == [True] * look


async def ask(plugin: str, server: Looked, page: Pages) -> str:
    """Why the server is not asked."""
    if plugin == "opencode":
        with pytest.raises(OSError, match="http://") as caught:
            await status_of(Place(server, page.endpoint, "/"), Auth("user", PASSWORD))
        return str(caught.value)

    sse = SseHealth(headers={**HEADERS})
    kinds: dict[str, HttpHealth | SseHealth | TcpHealth] = {
        "http": quick_http(),
        "sse": sse,
        "tcp": TcpHealth(send=f"AUTH {PASSWORD}\r\n", expect="OK"),
    }
    async with watching(kinds[plugin], server, page.endpoint) as reports:
        return (await unhealthy(reports)).reason


@pytest.mark.parametrize(
    ("send", "known", "told"),
    [
        ("AUTH a\r\n", (), False),
        ("LOGIN me hunter2\r\n", ("hunter2",), False),
        ("PING\r\n", (), True),
    ],
)
async def test_what_tcp_health_sends_to_a_port_of_its_options_is_told_to_no_stranger_if_it_is_a_secret(
    send: str, known: tuple[str, ...], told: bool
) -> None:
    server = Looked(thief_comes_at=1, secrets=known)
    async with pages(answer()) as page:
        plugin = TcpHealth(port=page.endpoint.port, host="127.0.0.1", send=send)
        async with watching(plugin, server, None) as reports:
            assert isinstance(await next_report(reports), Healthy) is told
    assert server.looks == [True] * (not told)


@pytest.mark.parametrize(
    ("env", "strict"),
    [
        ({"TOKEN": Secret("env:APP")}, True),
        ({"PGPASSWORD": "a"}, True),
        ({"OPTIONS": PASSWORD}, True),
        ({"PGUSER": "a"}, False),
    ],
)
async def test_a_command_that_is_given_a_secret_is_run_only_where_the_server_is_known_to_listen(
    env: dict[str, str | Secret], strict: bool
) -> None:
    server = Looked(thief_comes_at=1, secrets=(PASSWORD,), endpoint=Endpoint("127.0.0.1", 4096))
    plugin = ExecHealth(command=["true"], env=env)
    async with aclosing(plugin.health_check(server)) as reports:
        report = await anext(reports)
    assert isinstance(report, Unhealthy)
    assert report.reason.startswith("true is not run: another process")
    assert server.looks == [strict]


async def test_a_request_that_is_tried_again_unasked_is_looked_up_again() -> None:
    """aiohttp repeats a request by itself where a kept connection turns out to be closed."""
    answers = iter([answer(), b""])
    async with pages(lambda _: next(answers, b"")) as page:
        server = Looked(thief_comes_at=5)  # two looks for each connection of a request; then comes the thief
        async with watching(quick_http(), server, page.endpoint) as reports:
            assert isinstance(await next_report(reports), Healthy)
            assert "another process" in (await unhealthy(reports)).reason
    assert len(page.requests) == 2
    assert len(server.looks) == 5


async def test_a_secret_header_is_not_carried_along_a_redirect() -> None:
    async with pages(answer()) as other:
        away = answer("302 Found", "", "text/plain", f"Location: {other.endpoint.url}/")
        async with (
            pages(away) as page,
            watching(quick_http(follow_redirects=True), Looked(), page.endpoint) as reports,
        ):
            report = await next_report(reports)

    assert isinstance(report, Unhealthy)
    assert f"it redirects to 127.0.0.1:{other.endpoint.port}" in report.reason
    assert other.requests == []


async def test_a_redirect_within_the_server_is_followed_with_the_header() -> None:
    def page_of(head: str) -> bytes:
        return answer() if " /there " in head else answer("302 Found", "", "text/plain", "Location: /there")

    async with (
        pages(page_of) as page,
        watching(quick_http(follow_redirects=True), Looked(), page.endpoint) as reports,
    ):
        assert isinstance(await next_report(reports), Healthy)
    assert PASSWORD in page.requests[1]


async def test_the_server_is_known_however_its_address_is_written() -> None:
    async with pages(answer()) as page:
        place, server = Endpoint("LocalHost", page.endpoint.port), Looked()
        async with watching(quick_http(), server, place) as reports:
            assert isinstance(await next_report(reports), Healthy)
    assert server.looks == [True, True]


async def test_a_request_without_a_secret_may_be_made_of_who_cannot_be_told() -> None:
    server = Looked()
    async with pages(answer()) as page:
        plugin = HttpHealth(interval=Duration(0.02))
        async with watching(plugin, server, page.endpoint) as reports:
            assert isinstance(await next_report(reports), Healthy)
    assert not any(server.looks)


def test_a_secret_is_not_sent_off_the_machine_to_a_port_that_is_ours() -> None:
    with socket.create_server(("127.0.0.1", 0)) as own:
        place = Endpoint("host.example", own.getsockname()[1])
        leader = cast("Process", Leader(os.getpid()))
        with pytest.raises(PortInUse, match="cannot tell"):
            verify_listener(place, leader, Tree(os.getpid()), IdentityCheck.CHECK, secret=True)


def test_a_secret_is_sent_to_no_port_at_which_nobody_listens() -> None:
    with socket.create_server(("127.0.0.1", 0)) as own:
        place = Endpoint("127.0.0.1", own.getsockname()[1])
    leader = cast("Process", Leader(os.getpid()))
    with pytest.raises(ConnectionRefusedError):
        verify_listener(place, leader, Tree(os.getpid()), IdentityCheck.CHECK, secret=True)
    verify_listener(place, leader, Tree(os.getpid()), IdentityCheck.CHECK, secret=False)


class Blind(Tree):
    """Has no descriptor left to look with."""

    def who_listens(self, endpoint: Endpoint, members: Callable[[], Collection[int]]) -> Listener:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))


@pytest.mark.parametrize(
    ("check", "secret", "refused"),
    [
        (IdentityCheck.CHECK, False, False),
        (IdentityCheck.CHECK, True, True),
        (IdentityCheck.REQUIRE, False, True),
    ],
)
def test_a_secret_is_sent_nowhere_when_nobody_can_look(
    check: IdentityCheck, secret: bool, refused: bool
) -> None:
    place, leader = Endpoint("127.0.0.1", 4096), cast("Process", Leader(os.getpid()))
    with pytest.raises(OSError, match="Too many") if refused else nullcontext():
        verify_listener(place, leader, Blind(), check, secret=secret)


@pytest.mark.parametrize(
    "options",
    [
        {"path": "/hunter2-hunter2/health"},
        {"path": "/?token=hunter2-hunter2"},
        {"headers": {"Referer": "hunter2-hunter2"}},
        {"headers": {"X-Other": "anything"}},
    ],
)
async def test_a_secret_is_seen_wherever_in_a_request_it_stands(options: dict[str, Any]) -> None:
    server = Looked(secrets=("hunter2-hunter2",))
    plugin = HttpHealth(interval=Duration(0.02), **options)
    plugin.sent_headers = dict(plugin.headers)  # type: ignore[arg-type]
    async with pages(answer()) as page, watching(plugin, server, page.endpoint) as reports:
        assert isinstance(await next_report(reports), Healthy)
    assert server.looks
    assert all(server.looks)
