"""http-health: which answers are healthy, what is asked, and what becomes of connections."""

from __future__ import annotations

import asyncio
import gzip
import ssl
import time
from contextlib import suppress
from itertools import chain, repeat
from pathlib import Path
from typing import Any

import anyio
import pytest
from health_servers import answering, open_files, request, running, until_closed
from hostler import Auth, Duration, Endpoint, Healthy, PluginSpec, Unhealthy
from hostler.plugins.options import build
from hostler_plugins.http_health import HttpHealth
from http_pages import HealthContext, answer, certificate, healthy, next_report, pages, unhealthy, watching

__all__ = ["certificate"]
JSON = "application/json"


def quick(**options: Any) -> HttpHealth:
    return HttpHealth(**{"interval": Duration(0.05), "timeout": Duration(2)} | options)


async def first(plugin: HttpHealth, page: bytes) -> Healthy | Unhealthy:
    async with pages(page) as server, watching(plugin, HealthContext(), server.endpoint) as reports:
        return await next_report(reports)


# -- what is healthy -------------------------------------------------------------------------------


async def test_an_answer_of_200_is_healthy_and_tells_what_was_asked() -> None:
    async with (
        pages(answer()) as server,
        watching(quick(path="/up?x=1"), HealthContext(), server.endpoint) as reports,
    ):
        report = await healthy(reports)
    assert server.requests[0].startswith("GET /up?x=1 HTTP/1.1\r\n")
    assert report.details == {"url": server.endpoint.url + "/up", "status": 200}


async def test_a_200_of_the_wrong_content_type_is_not_health() -> None:
    page = answer(body="<!doctype html><title>app</title>", kind="text/html; charset=utf-8")
    report = await first(quick(content_type=JSON), page)

    assert isinstance(report, Unhealthy)
    assert report.reason.endswith("/: 200 OK, but with text/html instead of application/json")
    assert isinstance(await first(quick(), page), Healthy), "unless no type is asked for"


@pytest.mark.parametrize(
    ("asked", "kind", "good"),
    [
        ("application/json", "Application/JSON ; charset=utf-8", True),
        ("text/*", "text/html", True),
        ("text/*", "application/json", False),
        ("application/json", "", False),
    ],
)
async def test_content_types_are_compared_without_their_parameters(asked: str, kind: str, good: bool) -> None:
    assert isinstance(await first(quick(content_type=asked), answer(kind=kind)), Healthy) is good


@pytest.mark.parametrize(
    ("status", "codes"),
    [
        ("2xx", {200, 204, 299}),
        ("200-399", {200, 204, 299, 302, 399}),
        ("2xx, 404", {200, 204, 299, 404}),
        ([200, 503], {200, 503}),
        ("418", {418}),
    ],
)
async def test_a_status_is_a_list_or_a_text(status: str | list[int], codes: set[int]) -> None:
    for code in (199, 200, 204, 299, 302, 399, 404, 418, 503):
        page = answer(f"{code} Some Reason", body="")
        report = await first(quick(status=status), page) if code >= 200 else None
        assert isinstance(report, Healthy) is (code in codes)


async def test_the_refusal_tells_the_status_and_the_beginning_of_the_body_in_one_line() -> None:
    page = answer("503 Service Unavailable", "the database\n\x1b[31mis down " + "x" * 5000)
    report = await first(quick(), page)

    assert isinstance(report, Unhealthy)
    assert "/: 503 Service Unavailable: the database [31mis down xxx" in report.reason
    assert "\x1b" not in report.reason
    assert "\n" not in report.reason
    assert len(report.reason) < 400
    assert report.details["status"] == 503


@pytest.mark.parametrize("status", ["503 Busy", "429 Too Many Requests"])
async def test_a_retry_after_is_kept(status: str) -> None:
    report = await first(quick(), answer(status, "", "", "Retry-After: 12"))
    assert isinstance(report, Unhealthy)
    assert report.retry_after == 12.0


async def test_the_body_has_to_match() -> None:
    assert isinstance(await first(quick(body="^fine$"), answer(body="fine")), Healthy)
    report = await first(quick(body="^fine$"), answer(body="not so fine"))
    assert isinstance(report, Unhealthy)
    assert report.reason.endswith("200 OK, but nothing in its body matches '^fine$'")


@pytest.mark.parametrize(
    ("expected", "body", "wrong"),
    [
        ({"status": "ok"}, '{"status": "ok", "more": 1}', ""),
        ({"db.up": True}, '{"db": {"up": true}}', ""),
        ({"db": {"up": True}}, '{"db": {"up": true, "more": 1}}', ""),
        ({"db.up": True}, '{"db.up": true}', ""),
        ({"list": [1, 2]}, '{"list": [1, 2]}', ""),
        ({"status": "ok"}, '{"status": "starting"}', 'status is "starting", not "ok"'),
        ({"db.up": True}, '{"db": {"up": 1}}', "db.up is 1, not true"),
        ({"db": {"up": True}}, '{"db": null}', "db.up is null, not true"),
        ({"a": 1, "b": 2}, "{}", "a is null, not 1; b is null, not 2"),
        ({"a": 1}, "[1]", "a is null, not 1"),
        ({"a": 1}, "<html>", "its body is not JSON"),
        ({"a": 1}, "[" * 50000, "its body is not JSON"),
    ],
)
async def test_the_values_of_a_json_body_have_to_be_as_told(
    expected: dict[str, Any], body: str, wrong: str
) -> None:
    report = await first(quick(json=expected), answer(body=body, kind=JSON))
    if wrong:
        assert isinstance(report, Unhealthy)
        assert report.reason.endswith(f"200 OK, but {wrong}")
    else:
        assert isinstance(report, Healthy), report


async def test_a_compressed_body_is_read() -> None:
    page = answer("200 OK", gzip.compress(b'{"status": "ok"}'), JSON, "Content-Encoding: gzip")
    assert isinstance(await first(quick(json={"status": "ok"}), page), Healthy)


async def test_no_more_than_64_kib_of_a_body_are_read() -> None:
    inside, outside = "x" * 65000 + "END", "x" * 70000 + "END"
    assert isinstance(await first(quick(body="END"), answer(body=inside)), Healthy)
    assert isinstance(await first(quick(body="END"), answer(body=outside)), Unhealthy)

    async def endless(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\n\r\nBEGIN")
        with suppress(OSError):
            while True:
                writer.write(b"x" * 4096)
                await writer.drain()

    async with (
        answering(endless) as endpoint,
        watching(quick(body="BEGIN"), HealthContext(), endpoint) as reports,
    ):
        await healthy(reports)


@pytest.mark.parametrize("charset", ["latin-1", "no-such-charset"])
async def test_a_body_is_read_in_its_charset_as_far_as_that_is_known(charset: str) -> None:
    page = answer("200 OK", "gr\xfcn".encode("latin-1"), f"text/plain; charset={charset}")
    good = isinstance(await first(quick(body="gr\xfcn"), page), Healthy)
    assert good is (charset == "latin-1")


async def test_an_answer_without_end_is_healthy_where_nobody_asks_for_its_body() -> None:
    async def endless(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: 1\n\n")
        await until_closed(reader)

    async with answering(endless) as endpoint, watching(quick(), HealthContext(), endpoint) as reports:
        await healthy(reports)
        await healthy(reports)


async def test_a_refusal_whose_body_never_comes_is_told_soon() -> None:
    async def stuck(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await request(reader)
        writer.write(b"HTTP/1.1 500 Oh\r\nContent-Length: 10\r\n\r\n")
        await until_closed(reader)

    async with answering(stuck) as endpoint, watching(quick(), HealthContext(), endpoint) as reports:
        assert (await unhealthy(reports)).reason.endswith("500 Oh")


async def test_head_is_asked_on_request() -> None:
    page = b"HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n"
    async with (
        pages(page) as server,
        watching(quick(method="HEAD"), HealthContext(), server.endpoint) as reports,
    ):
        await healthy(reports)
        await healthy(reports)

    assert server.requests[0].startswith("HEAD / HTTP/1.1")
    assert server.connections == 1


async def test_a_redirect_is_itself_the_answer_unless_it_is_to_be_followed() -> None:
    def page(head: str) -> bytes:
        there = head.startswith("GET /there?")
        return answer() if there else answer("302 Found", "", "text/plain", "Location: /there?secret=1")

    async with pages(page) as server:
        async with watching(quick(), HealthContext(), server.endpoint) as reports:
            assert (await unhealthy(reports)).reason.endswith("302 Found to /there")
        async with watching(quick(follow_redirects=True), HealthContext(), server.endpoint) as reports:
            await healthy(reports)


async def test_redirects_in_a_circle_are_a_failure() -> None:
    report = await first(quick(follow_redirects=True), answer("302 Found", "", "text/plain", "Location: /"))
    assert isinstance(report, Unhealthy)
    assert report.reason.endswith("it redirects endlessly")


# -- what is wrong ---------------------------------------------------------------------------------


async def test_a_server_that_is_not_there_is_refused() -> None:
    async with pages(answer()) as server:
        gone = server.endpoint
    async with watching(quick(path="/?token=1"), HealthContext(), gone) as reports:
        report = await unhealthy(reports)
    assert report.reason == f"GET {gone.url}/: connection refused"


@pytest.mark.parametrize(
    ("page", "reason"),
    [
        (b"", "it closes the connection without an answer"),
        (b"HTTP/1.1 two hundred\r\n\r\n", "its answer is not HTTP:"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nfour", "in the middle of an answer"),
    ],
)
async def test_what_is_no_answer_is_told_apart(page: bytes, reason: str) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await request(reader)
        writer.write(page)

    async with answering(serve) as endpoint, watching(quick(body="f"), HealthContext(), endpoint) as reports:
        assert reason in (await unhealthy(reports)).reason


async def test_a_server_that_does_not_answer_is_told_within_the_timeout_and_a_third_of_the_start() -> None:
    async def hang(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await until_closed(reader)

    async with answering(hang) as endpoint:
        async with watching(quick(timeout=Duration(0.2)), HealthContext(), endpoint) as reports:
            assert (await unhealthy(reports)).reason == "no answer within 0.2 s"
        async with watching(quick(), HealthContext(startup_timeout=0.9), endpoint) as reports:
            assert (await unhealthy(reports)).reason == "no answer within 0.3 s"


# -- what is sent ----------------------------------------------------------------------------------


async def test_the_password_of_the_server_is_sent() -> None:
    host = HealthContext(auth=Auth("opencode", "open sesame"))
    async with (
        running("--password", "open sesame") as server,
        watching(quick(path="/global/health", json={"healthy": True}), host, server.endpoint) as reports,
    ):
        await healthy(reports)


@pytest.mark.parametrize("name", ["Authorization", "authorization", "AUTHORIZATION"])
async def test_an_authorization_of_ones_own_is_sent_instead_of_the_password(name: str) -> None:
    host, plugin = HealthContext(auth=Auth("opencode", "open sesame")), quick(headers={name: "Bearer mine"})
    plugin.sent_headers = {name: "Bearer mine"}
    async with pages(answer()) as server, watching(plugin, host, server.endpoint) as reports:
        await healthy(reports)
    sent = [line for line in server.requests[0].splitlines() if line.lower().startswith("authorization:")]
    assert sent == [f"{name}: Bearer mine"]


async def test_a_proxy_in_the_environment_is_no_way_to_loopback(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    assert isinstance(await first(quick(), answer()), Healthy)


async def test_a_server_on_ipv6_is_reached() -> None:
    async with (
        running("--host", "::1") as server,
        watching(quick(path="/config"), HealthContext(), server.endpoint) as reports,
    ):
        await healthy(reports)


async def test_a_certificate_of_ones_own_is_refused_trusted_by_its_file_or_not_looked_at(
    certificate: tuple[Path, ssl.SSLContext],
) -> None:
    file, context = certificate
    async with pages(answer(), context) as server:
        assert server.endpoint.scheme == "https"
        async with watching(quick(), HealthContext(), server.endpoint) as reports:
            assert "no TLS connection (see the options verify and ca)" in (await unhealthy(reports)).reason
        for trusting in (quick(ca=file), quick(verify=False), quick(verify=False, ca=Path("nowhere"))):
            async with watching(trusting, HealthContext(), server.endpoint) as reports:
                await healthy(reports)


@pytest.mark.parametrize("content", [None, "no certificate"])
async def test_a_file_of_certificates_that_cannot_be_used_is_a_mistake(
    tmp_path: Path, content: str | None
) -> None:
    file = tmp_path / "ca.pem"
    if content is not None:
        file.write_text(content)
    async with watching(quick(ca=file), HealthContext(), Endpoint("127.0.0.1", 9, "https")) as reports:
        report = await unhealthy(reports)
    assert report.permanent
    assert "http-health: ca = " in report.reason


# -- connections -----------------------------------------------------------------------------------


async def test_one_connection_is_kept_while_all_is_well_and_a_new_one_made_after_a_failure() -> None:
    answers = chain([answer()] * 3, [answer("500 Oh")] * 2, repeat(answer()))
    async with (
        pages(lambda _: next(answers)) as server,
        watching(quick(), HealthContext(), server.endpoint) as reports,
    ):
        connections = []
        for _ in range(8):
            await next_report(reports)
            connections.append(server.connections)

    assert connections == [1, 1, 1, 1, 2, 3, 3, 3]


async def test_a_kept_connection_that_the_server_closed_meanwhile_is_no_failure() -> None:
    async def once(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await request(reader)
        writer.write(answer())
        await asyncio.sleep(0.02)

    async with answering(once) as endpoint, watching(quick(), HealthContext(), endpoint) as reports:
        for _ in range(5):
            await healthy(reports)


async def test_closing_it_within_a_request_and_between_two_leaves_nothing() -> None:
    async with pages(answer()) as server:
        async with watching(quick(interval=Duration(60)), HealthContext(), server.endpoint) as reports:
            await healthy(reports)
            files = open_files()
            start = time.monotonic()
        assert time.monotonic() - start < 0.5
        assert open_files() < files
        with anyio.fail_after(5):
            while server.open:  # noqa: ASYNC110 - the server's side sees it a moment later
                await asyncio.sleep(0.01)

    async def hang(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.set()
        await until_closed(reader)
        closed.set()

    asked, closed = asyncio.Event(), asyncio.Event()

    async with answering(hang) as endpoint:
        with anyio.move_on_after(0.3):
            async with watching(quick(), HealthContext(), endpoint) as reports:
                await anext(reports)
        with anyio.fail_after(5):
            await asked.wait()
            await closed.wait()


def test_no_header_is_in_its_repr() -> None:
    plugin = build(PluginSpec("http-health", {"headers": {"X-Token": "sk-0123456789"}}))
    assert "sk-0123456789" not in repr(plugin)
