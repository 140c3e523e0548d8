"""Health plugins ask a server's view for what they need: a plain one is enough where no secret is said."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import aclosing
from typing import cast

import anyio
import pytest
from hostler import CommandResult, Healthy, ServerSpec, ServerView, StreamEvent, StreamGap
from hostler_plugins.exec_health import ExecHealth
from hostler_plugins.http_health import HttpHealth
from hostler_plugins.sse_health import SseHealth
from hostler_plugins.tcp_health import TcpHealth
from http_pages import answer, healthy, pages, unhealthy, watching

STREAM = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: one\n\n"


class Plain:
    """What a test of one plugin may have for a server."""

    auth = None
    facts: dict[str, object] = {}  # noqa: RUF012 - never changed
    spec = ServerSpec(name="plain")

    def __init__(self, stranger: str = "") -> None:
        self._stranger = stranger
        self.delivered: list[StreamEvent | StreamGap] = []

    def stranger(self) -> str:
        return self._stranger

    def deliver(self, item: StreamEvent | StreamGap) -> None:
        self.delivered.append(item)

    def notice(self, topic: str, text: str, *, level: str = "info", **details: object) -> None:
        raise NotImplementedError

    def command_env(self) -> dict[str, str]:
        return {}

    async def run_command(self, argv: list[str], *, timeout: float, env: dict[str, str]) -> CommandResult:
        return CommandResult(0, None)


KINDS: dict[str, tuple[Callable[[], HttpHealth | SseHealth | TcpHealth], bytes]] = {
    "http": (HttpHealth, answer()),
    "sse": (SseHealth, STREAM),
    "tcp": (lambda: TcpHealth(send="PING\r\n\r\n"), answer()),
}


@pytest.mark.parametrize("kind", KINDS)
async def test_a_plain_view_is_enough_where_no_secret_is_said(kind: str) -> None:
    make, said = KINDS[kind]
    view = Plain()
    with anyio.fail_after(20):
        async with pages(said) as page, watching(make(), cast("ServerView", view), page.endpoint) as reports:
            await healthy(reports)
    assert [getattr(item, "data", "") for item in view.delivered] == (["one"] if kind == "sse" else [])


async def test_a_command_without_secrets_needs_no_more_than_to_be_run() -> None:
    async with aclosing(ExecHealth(command=["true"]).health_check(cast("ServerView", Plain()))) as reports:
        assert isinstance(await anext(reports), Healthy)


@pytest.mark.parametrize("kind", KINDS)
async def test_a_stranger_whom_a_plain_view_knows_is_told_nothing(kind: str) -> None:
    make, said = KINDS[kind]
    view = cast("ServerView", Plain("pid 1 (thief)"))
    async with pages(said) as page:
        async with watching(make(), view, page.endpoint) as reports:
            assert "instead: pid 1 (thief)" in (await unhealthy(reports)).reason
        assert page.requests == []


@pytest.mark.parametrize("kind", ["http", "sse"])
async def test_a_password_is_told_to_nobody_whom_the_view_cannot_verify(kind: str) -> None:
    plugin = KINDS[kind][0]()
    assert not isinstance(plugin, TcpHealth)
    plugin.sent_headers = {"Authorization": "Bearer planted-password"}
    async with pages(KINDS[kind][1]) as page:
        with pytest.raises(AttributeError, match="verify_listener"):
            async with watching(plugin, cast("ServerView", Plain()), page.endpoint) as reports:
                await unhealthy(reports)
        assert page.requests == []
