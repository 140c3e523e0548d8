"""HTTP over a unix socket: what comes from who listens there."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from hostler.cli.client import transport
from hostler.cli.client.transport import StreamRefused, Unreachable, request, stream

Serve = Callable[..., str]


@pytest.fixture
def serve(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Iterator[Serve]:
    """Listen, and send each client the next of these answers; an answer of None is silence."""
    monkeypatch.setattr(transport, "SILENCE", 0.2)
    listeners: list[tuple[socket.socket, threading.Thread]] = []
    kept: list[socket.socket] = []

    def begin(*answers: bytes | None) -> str:
        path = str(tmp_path_factory.mktemp("s") / "s")
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(path)
        listener.listen()

        def answer() -> None:
            for one in answers:
                try:
                    client = listener.accept()[0]
                except OSError:  # shut down: nobody asks for the rest
                    return
                with suppress(BrokenPipeError, ConnectionResetError):  # a client that did not wait for it
                    client.recv(65_536)
                    client.sendall(one or b"")
                if one is None:
                    kept.append(client)
                else:
                    client.close()

        thread = threading.Thread(target=answer)
        thread.start()
        listeners.append((listener, thread))
        return path

    yield begin
    for listener, thread in listeners:
        listener.shutdown(socket.SHUT_RDWR)  # wakes who accepts, which a close does not
        thread.join(10)
        assert not thread.is_alive()
        listener.close()
    for client in kept:
        client.close()


def test_an_answer_has_its_status_headers_and_body(serve: Serve) -> None:
    path = serve(b'HTTP/1.0 409 Conflict\r\nHostler-Api: 1\r\nContent-Length: 8\r\n\r\n{"a": 1}')
    answer = request(path, "GET", "/v1")
    assert (answer.status, answer.headers["hostler-api"], answer.json()) == (409, "1", {"a": 1})


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "closed without an answer"),
        (b"SSH-2.0-OpenSSH\r\n", "speaks no HTTP"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{}", "in the middle"),
    ],
)
def test_what_is_no_answer_is_told(serve: Serve, data: bytes, reason: str) -> None:
    path = serve(data)
    with pytest.raises(Unreachable, match=reason):
        request(path, "GET", "/v1")


@pytest.mark.parametrize("body", [b"[]", b"<html>", b""])
def test_a_body_that_is_no_object_is_told(serve: Serve, body: bytes) -> None:
    answer = request(serve(b"HTTP/1.0 200 OK\r\n\r\n" + body), "GET", "/v1")
    with pytest.raises(Unreachable, match="no JSON object"):
        answer.json()


def test_nobody_listens(tmp_path: Path) -> None:
    with pytest.raises(Unreachable) as caught:
        request(str(tmp_path / "none"), "GET", "/v1")
    assert isinstance(caught.value.__cause__, FileNotFoundError)


def test_one_that_is_silent_to_all_hangs(serve: Serve) -> None:
    with pytest.raises(Unreachable, match="not answered"):
        request(serve(None, None), "POST", "/v1/servers/stop", {}, timeout=60)


def test_one_that_lives_may_take_its_time_up_to_the_timeout(serve: Serve) -> None:
    alive = b"HTTP/1.0 200 OK\r\n\r\n"
    with pytest.raises(TimeoutError):
        request(serve(None, alive, alive, alive), "POST", "/v1/servers/stop", {}, timeout=0.3)


def test_a_short_timeout_is_not_held_up_by_the_patience_with_silence(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transport, "SILENCE", 60.0)
    begun = time.monotonic()
    for timeout in (0.0, 0.05):
        with pytest.raises(TimeoutError):
            request(serve(None), "POST", "/v1/servers/stop", {}, timeout=timeout)
    assert time.monotonic() - begun < 10


def test_a_timeout_is_kept_between_two_looks_whether_it_lives(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    alive = b"HTTP/1.0 200 OK\r\n\r\n"
    monkeypatch.setattr(transport, "SILENCE", 4.0)  # it looks each 2 s
    begun = time.monotonic()
    with pytest.raises(TimeoutError):
        request(serve(None, alive, alive), "POST", "/v1/servers/stop", {}, timeout=2.1)
    assert 2.1 <= time.monotonic() - begun < 3.8


def test_a_stream_gives_whole_lines_and_says_when_none_come(serve: Serve) -> None:
    path = serve(b"HTTP/1.0 200 OK\r\n\r\nevent: state\ndata: {}\n\npart")
    lines = stream(path, "/v1/events")
    assert next(lines) == [b"event: state", b"data: {}", b""]
    with pytest.raises(Unreachable):
        next(lines)

    assert next(stream(serve(None, b"HTTP/1.0 200 OK\r\n\r\n"), "/v1/events")) == []
    with pytest.raises(Unreachable, match="not answered"):
        next(stream(serve(None, None), "/v1/events"))


def test_a_stream_that_is_refused_is_told(serve: Serve) -> None:
    with pytest.raises(Unreachable, match="answered 503"):
        next(stream(serve(b"HTTP/1.0 503 No\r\n\r\n"), "/v1/events"))
    with pytest.raises(StreamRefused) as told:
        next(stream(serve(b'HTTP/1.0 404 No\r\n\r\n{"detail": "there is no such server"}'), "/v1/log"))
    assert told.value.problem == {"detail": "there is no such server"}
