import asyncio
import gc
import shutil
import socket
import ssl
import subprocess
import sys
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path

import pytest
from health_servers import (
    FIRST,
    HEAD,
    HealthContext,
    answering,
    healthy,
    request,
    running,
    unhealthy,
    until_closed,
    watching,
)
from hostler import Auth, Duration, Endpoint, EventStreamConnectionFailed, InvalidConfiguration
from hostler_plugins._connections import retry_after
from hostler_plugins.sse_health import SseHealth

QUICK = Duration(0.2)


async def test_headers_alone_are_no_first_event() -> None:
    health = SseHealth(first_event_timeout=QUICK)
    async with (
        running("--events", "silent") as server,
        watching(health, HealthContext(), server.endpoint) as reports,
    ):
        report = await unhealthy(reports)
    assert report.details["kind"] == "no_first_event"
    assert "sends no event within 0.2 s" in report.reason


@pytest.mark.parametrize(
    ("auth", "words"), [(None, "wants credentials"), (Auth("opencode", "wrong"), "refuses the credentials")]
)
async def test_missing_and_wrong_credentials_are_told_apart(auth: Auth | None, words: str) -> None:
    async with (
        running("--password", "open sesame") as server,
        watching(SseHealth(), HealthContext(auth=auth), server.endpoint) as reports,
    ):
        report = await unhealthy(reports)
    assert report.details["kind"] == "unauthorized"
    assert words in report.reason
    assert "wrong" not in str(report)


BROKEN = """{"name":"ConfigInvalidError",
    "data":{"path":"/app/opencode.json","issues":[{"message":"Expected object","line":3}]}}"""


@pytest.mark.parametrize("status", ["400", "500"])
@pytest.mark.parametrize("by_fact", [True, False])
async def test_a_broken_configuration_is_permanent_and_shown(status: str, by_fact: bool) -> None:
    pattern = r'"name":\s*"Config\w+Error"'
    host = HealthContext(facts={"permanent_bodies": (pattern,)} if by_fact else {})
    health = SseHealth(permanent_bodies=[] if by_fact else [pattern])
    async with (
        running("--events", "status", status, "--body", BROKEN) as server,
        watching(health, host, server.endpoint) as reports,
    ):
        report = await unhealthy(reports)

    assert report.permanent
    assert isinstance(report.error, InvalidConfiguration)
    assert "ConfigInvalidError /app/opencode.json Expected object" in str(report.error)


async def test_other_error_bodies_are_not_permanent_and_shown_too() -> None:
    body = '{"error":{"message":"still   migrating"}}'
    async with (
        running("--events", "status", "500", "--body", body) as server,
        watching(SseHealth(permanent_bodies=["Config"]), HealthContext(), server.endpoint) as reports,
    ):
        report = await unhealthy(reports)

    assert not report.permanent
    assert report.details["body"] == body
    assert "still   migrating" in report.reason


async def test_what_stands_in_the_query_is_not_shown() -> None:
    async with (
        running() as server,
        watching(SseHealth(path="/nothing?token=abc"), HealthContext(), server.endpoint) as reports,
    ):
        report = await unhealthy(reports)
    assert "abc" not in report.reason + str(report.error)


@pytest.mark.parametrize(
    ("mode", "kind", "words"),
    [
        (["html"], "wrong_type", "text/html instead of text/event-stream"),
        (["redirect"], "redirect", "it redirects (302 Found) to /elsewhere"),
        (["refuse"], "reset", "the connection broke off before an answer"),
        (["never-headers"], "no_answer", "it accepts connections, but does not answer within 0.2 s"),
        (["slow-headers"], "no_answer", "it accepts connections, but does not answer within 0.2 s"),
        (["status", "401"], "unauthorized", "it wants credentials (401 Unauthorized)"),
        (["status", "403"], "unauthorized", "it wants credentials (403 "),
        (["status", "404"], "not_found", "there is nothing at this path (404 Not Found)"),
        (["status", "418"], "wrong_status", "instead of 200: the body"),
        (["status", "500"], "server_error", "it answers with an error (500 Some Reason): the body"),
    ],
)
async def test_reasons_are_told_apart(mode: list[str], kind: str, words: str) -> None:
    health = SseHealth(first_event_timeout=QUICK)
    async with (
        running("--events", *mode, "--body", "the body") as server,
        watching(health, HealthContext(), server.endpoint) as reports,
    ):
        report = await unhealthy(reports)

    assert report.reason.startswith(f"GET {server.endpoint.url}/event: ")
    assert words in report.reason
    assert report.details["kind"] == kind
    assert not report.permanent
    assert isinstance(report.error, EventStreamConnectionFailed)
    assert report.reason in str(report.error)


@pytest.mark.parametrize(
    ("answer", "kind", "words"),
    [
        (b"HTTP/1.1 200 OK\r\n\r\ndata: a\n\n", "wrong_type", "answers with no content type"),
        (b"HTTP/1.1 200 OK\r\nContent-Type: text/event-streams\r\n\r\n", "wrong_type", "text/event-streams"),
        (b"HTTP/1.1 201 Created\r\nContent-Type: text/event-stream\r\n\r\n" + FIRST, "wrong_status", "201"),
        (
            HEAD[:-2] + b"Content-Encoding: gzip\r\n\r\n",
            "wrong_encoding",
            "compresses its event stream (gzip)",
        ),
        (b"", "disconnected", "it closes the connection without an answer"),
        (b"SSH-2.0-OpenSSH_9.2\r\n\r\n", "malformed", "its answer is not HTTP"),
        (b"HTTP/1.1 200 OK\r\nX: " + b"x" * 10_000 + b"\r\n\r\n", "malformed", "its answer is not HTTP"),
        (b"HTTP/1.1 200 OK\r\nContent-Le", "disconnected", "without an answer"),
        (HEAD, "ended", "the server ended the stream"),
        (HEAD + b"data: unfinished\n", "ended", "the server ended the stream"),
        (HEAD[:-2] + b"Content-Length: 100\r\n\r\ndata", "reset", "the connection broke off"),
        (HEAD[:-2] + b"Transfer-Encoding: chunked\r\n\r\n5\r\ndata:", "reset", "the connection broke off"),
        (HEAD[:-2] + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n", "malformed", "its answer is not HTTP"),
        (b"HTTP/1.1 204 No Content\r\n\r\n", "wrong_status", "it answers 204 No Content instead of 200"),
        (b"HTTP/1.1 500 Oh\r\nContent-Length: 99\r\n\r\ncut off", "server_error", "(500 Oh): cut off"),
    ],
)
async def test_answers_that_no_server_should_give_have_a_reason_too(
    answer: bytes, kind: str, words: str
) -> None:
    async def give(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await request(reader)
        writer.write(answer)

    async with answering(give) as endpoint, watching(SseHealth(), HealthContext(), endpoint) as reports:
        report = await unhealthy(reports)
    assert report.details["kind"] == kind
    assert words in report.reason


async def test_the_query_of_a_redirect_is_not_shown() -> None:
    async def give(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await request(reader)
        writer.write(b"HTTP/1.1 302 Found\r\nLocation: /login?token=abc\r\nContent-Length: 0\r\n\r\n")

    async with answering(give) as endpoint, watching(SseHealth(), HealthContext(), endpoint) as reports:
        report = await unhealthy(reports)
    assert report.reason.endswith("it redirects (302 Found) to /login")
    assert "abc" not in str(report.error)


@pytest.mark.parametrize("content_type", ["TEXT/Event-Stream", "text/event-stream; charset=utf-8"])
async def test_any_spelling_of_the_content_type_will_do(content_type: str) -> None:
    async def give(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await request(reader)
        writer.write(f"HTTP/1.1 200 OK\r\nContent-Type: {content_type}\r\n\r\n".encode() + FIRST)
        await until_closed(reader)

    async with answering(give) as endpoint, watching(SseHealth(), HealthContext(), endpoint) as reports:
        await healthy(reports)


async def test_a_first_event_that_never_ends_is_no_first_event() -> None:
    async def trickle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await request(reader)
        writer.write(HEAD + b"data: ")
        while not reader.at_eof():
            writer.write(b"x")
            await writer.drain()
            await asyncio.sleep(0.02)

    health = SseHealth(first_event_timeout=Duration(0.3))
    async with answering(trickle) as endpoint, watching(health, HealthContext(), endpoint) as reports:
        report = await unhealthy(reports)

    assert report.details["kind"] == "no_first_event"


async def test_a_body_of_an_error_that_never_ends_is_shown_up_to_a_bound() -> None:
    async def endless(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await request(reader)
        writer.write(b"HTTP/1.1 500 Oh\r\n\r\n")
        while True:
            writer.write(b"error " * 1000)
            await writer.drain()

    async with answering(endless) as endpoint, watching(SseHealth(), HealthContext(), endpoint) as reports:
        report = await unhealthy(reports)

    assert len(str(report.details["body"])) <= 4096
    assert len(report.reason) < 800


NOON = datetime(2030, 1, 2, 12, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("120", 120.0),
        ("0", 0.0),
        ("Wed, 02 Jan 2030 12:01:30 GMT", 90.0),
        ("Wednesday, 02-Jan-30 12:00:05 GMT", 5.0),
        ("Wed Jan  2 12:00:10 2030", 10.0),
        ("Wed, 02 Jan 2030 12:00:30 -0000", 30.0),
        ("Wed, 02 Jan 2030 13:00:30 +0100", 30.0),
        ("Wed, 02 Jan 2030 11:00:00 GMT", 0.0),
        ("", None),
        ("soon", None),
        ("-5", None),
        ("1.5", None),
        ("9" * 10, None),
        ("\u0664", None),
        ("Wed, 99 Jan 2030 12:00:00 GMT", None),
        ("Wed, 02 Jan 99999999999 12:00:00 GMT", None),
    ],
)
def test_a_retry_after_is_a_number_or_a_date(value: str, seconds: float | None) -> None:
    assert retry_after(value, NOON) == seconds


async def test_nobody_listening_is_refused() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    async with watching(SseHealth(), HealthContext(), Endpoint("127.0.0.1", port)) as reports:
        reports_in_a_row = [await unhealthy(reports) for _ in range(3)]
    assert [report.details["kind"] for report in reports_in_a_row] == ["refused"] * 3
    assert reports_in_a_row[0].reason == f"GET http://127.0.0.1:{port}/event: connection refused"


async def test_a_host_that_does_not_exist_is_unreachable() -> None:
    async with watching(SseHealth(), HealthContext(), Endpoint("no-such-host.invalid", 80)) as reports:
        report = await unhealthy(reports, seconds=20)
    assert report.details["kind"] == "unreachable"


@pytest.mark.skipif(sys.platform != "linux", reason="a full backlog drops connects on Linux only")
async def test_a_connect_that_is_never_answered_has_its_own_limit() -> None:
    with socket.socket() as listener, ExitStack() as waiting:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for _ in range(4):
            client = waiting.enter_context(socket.socket())
            client.setblocking(False)
            client.connect_ex(listener.getsockname())
        endpoint = Endpoint("127.0.0.1", listener.getsockname()[1])
        async with watching(SseHealth(connect_timeout=QUICK), HealthContext(), endpoint) as reports:
            report = await unhealthy(reports)

    assert report.details["kind"] == "connect_timeout"
    assert "no connection within 0.2 s" in report.reason


@pytest.mark.parametrize("switches", [[], ["--no-chunks"]])
async def test_a_reset_in_the_middle_is_no_end(switches: list[str]) -> None:
    host = HealthContext()
    async with (
        running("--events", "reset-after", "3", *switches) as server,
        watching(SseHealth(), host, server.endpoint) as reports,
    ):
        await healthy(reports)
        report = await unhealthy(reports)

    assert report.details["kind"] == "reset"
    assert len(host.data) == 3
    assert len(host.gaps) == 1


async def test_a_reset_that_nobody_asked_about_is_no_noise(caplog: pytest.LogCaptureFixture) -> None:
    async with (
        running("--events", "reset-after", "3") as server,
        watching(SseHealth(), HealthContext(), server.endpoint) as reports,
    ):
        await healthy(reports)
        await unhealthy(reports)
    gc.collect()
    assert caplog.records == []


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    if shutil.which("openssl") is None:
        pytest.skip("openssl is needed to make a certificate")

    folder = tmp_path_factory.mktemp("certificate")
    key, public = folder / "key.pem", folder / "certificate.pem"
    command = [
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "rsa:2048",
        "-nodes",
        "-days",
        "2",
        "-subj",
        "/CN=localhost",
    ]
    subprocess.run([*command, "-keyout", key, "-out", public], check=True, capture_output=True)
    return key, public


async def test_a_certificate_is_checked_unless_told_otherwise(certificate: tuple[Path, Path]) -> None:
    async def give(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await request(reader)
        writer.write(HEAD + FIRST)
        await until_closed(reader)

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate[1], certificate[0])

    async with answering(give, ssl=context) as endpoint:
        async with watching(SseHealth(), HealthContext(), endpoint) as reports:
            report = await unhealthy(reports)
        async with watching(SseHealth(verify=False), HealthContext(), endpoint) as reports:
            await healthy(reports)

    assert report.details["kind"] == "tls"
    assert "verify" in report.reason


async def test_plain_http_where_https_is_expected_is_a_tls_failure() -> None:
    async def give(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        await until_closed(reader)

    async with answering(give) as endpoint:
        expected = Endpoint(endpoint.host, endpoint.port, "https")
        async with watching(SseHealth(verify=False), HealthContext(), expected) as reports:
            report = await unhealthy(reports)

    assert report.details["kind"] == "tls"


async def test_a_header_that_cannot_be_sent_is_told() -> None:
    async with (
        running() as server,
        watching(SseHealth(headers={"X-Broken": "a\nb"}), HealthContext(), server.endpoint) as reports,
    ):
        report = await unhealthy(reports)
    assert report.details["kind"] == "unusable"
