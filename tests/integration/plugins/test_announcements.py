from __future__ import annotations

import re
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hostler import Endpoint
from hostler_plugins.regex_port.announcements import find_endpoint, parse_address, plain
from hypothesis import given, settings
from hypothesis import strategies as st

HERE = Path(__file__).parent
ANNOUNCED = (HERE / "lines_announced.txt").read_text("utf-8").removesuffix("\n").split("\n")
SILENT = (HERE / "lines_silent.txt").read_text("utf-8").removesuffix("\n").split("\n")

UNUSUAL = [
    ("opencode server listening on http://127.0.0.1:4096\r", Endpoint("127.0.0.1", 4096)),
    ("Warning: nothing is set.\r\nserver listening on http://[::1]:4096\r\n", Endpoint("::1", 4096)),
    ("Building 99%\rServing on http://localhost:8113", Endpoint("localhost", 8113)),
    ("\x1b[32minfo\x1b[39m: Server listening on port \x1b[33m8046\x1b[39m", Endpoint("127.0.0.1", 8046)),
    ("Listening on http://\x1b[1mlocalhost\x1b[22m:\x1b[1m8048\x1b[22m/", Endpoint("localhost", 8048)),
    ("\x1b]8;;http://localhost:1/\x1b\\http://localhost:8047/\x1b]8;;\x1b\\", Endpoint("localhost", 8047)),
    ("\x1b]0;a title\x07\x1b[2K\x1b[1GServing on http://localhost:8048", Endpoint("localhost", 8048)),
    ("ready\x1b[5Ghttp://localhost:8049", Endpoint("localhost", 8049)),
    ("\ufeffListening on http://localhost:8083", Endpoint("localhost", 8083)),
    ("Listening\x00 on http://local\x00host:8084", Endpoint("localhost", 8084)),
    ("listening on http:\\/\\/127.0.0.1:8085", Endpoint("127.0.0.1", 8085)),
    ("C:\\app> listening on 127.0.0.1:8086", Endpoint("127.0.0.1", 8086)),
    ("Server running at:\n  - Local:   http://localhost:5173/\n", Endpoint("localhost", 5173)),
    ("connecting to http://localhost:1234\nlistening on port 4321", Endpoint("127.0.0.1", 4321)),
]
ADDRESSES = [
    ("http://127.0.0.1:8080/path?x=1", Endpoint("127.0.0.1", 8080)),
    ("https://example.com:8443", Endpoint("example.com", 8443, "https")),
    ("http://user:word@[::1]:8080", Endpoint("::1", 8080)),
    ("http://::1:8080", Endpoint("::1", 8080)),
    ("//localhost:1313/", Endpoint("localhost", 1313)),
    ("main.go:8080", Endpoint("main.go", 8080)),
    (":8080", Endpoint("127.0.0.1", 8080)),
    ("tcp://0.0.0.0:8080", Endpoint("0.0.0.0", 8080)),
    ("tls://0.0.0.0:8443", Endpoint("0.0.0.0", 8443, "https")),
    ("http://localhost", Endpoint("localhost", 80)),
    ("HTTPS://[::1]/", Endpoint("::1", 443, "https")),
    ("wss://example.com/x", Endpoint("example.com", 443, "wss")),
    ("http://localhost:0", None),
    ("http://localhost:65536", None),
    ("unix:///run/app.sock", None),
    ("ftp://example.com/", None),
    ("", None),
]


@pytest.mark.parametrize("case", ANNOUNCED)
def test_an_announcement_is_found(case: str) -> None:
    expected, line = case.split("\t", 1)
    host, port, scheme = expected.split(" ")

    assert find_endpoint(line) == Endpoint(host, int(port), scheme)


@pytest.mark.parametrize("line", SILENT)
def test_what_only_looks_like_an_announcement_is_passed_over(line: str) -> None:
    assert find_endpoint(line) is None


@pytest.mark.parametrize(("text", "endpoint"), UNUSUAL)
def test_colours_control_characters_and_several_lines_do_not_hide_an_announcement(
    text: str, endpoint: Endpoint
) -> None:
    assert find_endpoint(text) == endpoint


@pytest.mark.parametrize("text", ["", "\n", "\r\n\r\n", "\x1b[0m", "\x00", "no digits at all"])
def test_a_text_without_an_endpoint_answers_nothing(text: str) -> None:
    assert find_endpoint(text) is None


@pytest.mark.parametrize(("text", "endpoint"), ADDRESSES)
def test_an_address_is_read_in_every_spelling(text: str, endpoint: Endpoint | None) -> None:
    assert parse_address(text) == endpoint


def test_only_the_first_8_kib_of_a_line_count() -> None:
    assert find_endpoint("." * 8000 + " listening on http://127.0.0.1:4096") is not None
    assert find_endpoint("." * 8192 + " listening on http://127.0.0.1:4096") is None
    assert len(plain("x" * 10_000)) == 8192


def test_a_url_without_its_port_is_no_announcement() -> None:
    assert find_endpoint("listening on http://127.0.0.1:") is None
    assert find_endpoint("listening on http://127.0.0.1/") is None


def test_a_real_server_is_found_where_it_listens() -> None:
    command = [sys.executable, "-u", "-m", "http.server", "0", "--bind", "127.0.0.1"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as server:
        try:
            assert server.stdout is not None
            found = find_endpoint(server.stdout.readline())
            assert found is not None
            socket.create_connection((found.host, found.port), timeout=5).close()
        finally:
            server.kill()


def test_the_url_of_a_wildcard_is_one_that_can_be_connected_to() -> None:
    found = find_endpoint("Listening on http://[::]:8080")

    assert found is not None
    assert found.host == "::"
    assert found.url == "http://[::1]:8080"


PIECES = """listening on|http://|https://|//|127.0.0.1|[::1]|::|localhost|*|0.0.0.0|:|port|PORT=|8080|80|65536|0
|4096|"msg":"|{"addr":"|"}|msg=|(|,|)|'|/ip4/|/tcp/|error|from|connecting to|->|.|@|?|started|udp|metrics|\\|
|\r|\x1b[1m|\x1b]8;;|\x00|main.go|2026-11-22T10:11:12.345Z|12:34:56|\u2028|\u00e9"""
WORDS = st.sampled_from(PIECES.split("|"))
TEXTS = st.one_of(st.text(), st.lists(st.one_of(WORDS, st.text(max_size=6)), max_size=24).map("".join))
SPACED = st.lists(WORDS, max_size=24).map(" ".join)


@settings(max_examples=6 * settings().max_examples, deadline=None)
@given(st.one_of(TEXTS, SPACED))
def test_whatever_is_found_stands_in_the_text(text: str) -> None:
    found = find_endpoint(text)
    if found is None:
        return
    shown = "\n".join(plain(line) for line in re.split(r"[\r\n]+", text))
    assert 1 <= found.port <= 65535
    assert re.search(rf"(?<![0-9]){found.port}(?![0-9])", shown)
    assert found.host == "127.0.0.1" or found.host in shown
    assert found.scheme == found.scheme.lower()


@settings(max_examples=2 * settings().max_examples, deadline=None)
@given(
    st.sampled_from(["127.0.0.1", "0.0.0.0", "localhost", "[::1]", "[::]", "10.0.0.7", "box"]),
    st.integers(10, 65535),
    st.sampled_from(["http", "https"]),
)
def test_every_host_port_and_scheme_is_found_in_an_announcement(host: str, port: int, scheme: str) -> None:
    expected = Endpoint(host.strip("[]"), port, scheme)

    assert find_endpoint(f"server listening on {scheme}://{host}:{port}") == expected
    assert find_endpoint(f"\x1b[1mReady\x1b[0m {scheme}://{host}:\x1b[36m{port}\x1b[0m/") == expected


HOSTILE = """http://|1|12 |:80 |127.0.0.1:80 |a|a:80|:|port |port 80 |on 80 |\x1b[|\x1b[1;|\x1b]|\\u001b[| |
//a@|"msg":"|[::1]:80,|('a', 80)|/ip4/a/tcp/80 |"http-nio-80"|from |a-> |config: |
to x:80 |http://u:p@h:80\t|1#80 |on 1.1.1.1 80 """


@pytest.mark.parametrize("piece", [piece.lstrip("\n") for piece in HOSTILE.split("|")])
def test_a_hostile_line_takes_milliseconds(piece: str) -> None:
    line = (piece * 8192)[:8192]
    find_endpoint(line)
    started = time.process_time()
    for _ in range(3):
        find_endpoint(line)
    assert (time.process_time() - started) / 3 < 0.1
