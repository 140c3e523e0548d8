"""HTTP over a unix socket by sockets alone: the import of `http.client` would take longer than a call.

That of `socket`, which makes enumerations of all constants of the system, would be a tenth of one.
"""

from __future__ import annotations

import json
import time
from _socket import AF_UNIX, SOCK_STREAM, socket
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress

SILENCE = 5.0
"""Seconds that a hostler may be silent, on another connection too, before it counts as one that hangs."""

_CHUNK = 65_536
_SHORTEST = 0.01  # seconds; none at all would mean not to wait
_TICK = 0.5  # seconds, after which whoever follows a stream looks at the clock
_LIVE = "/livez"


class Unreachable(Exception):
    """Raised when no answer comes from the socket; the text says why."""


class Closed(Unreachable):
    """Raised when the connection ended before the answer did: whoever answered is about to end, or has."""


class StreamRefused(Unreachable):
    """Raised when a stream is answered by something else: the `problem` tells what, where it is one."""

    def __init__(self, answer: Answer) -> None:
        super().__init__(f"it answered {answer.status}")
        self.answer = answer

    @property
    def problem(self) -> dict[str, object]:
        """The problem; empty where it tells none."""
        with suppress(Unreachable):
            return self.answer.json()
        return {}


class Answer:
    """The status, the headers (names in lower case) and the body of a response."""

    def __init__(self, status: int, headers: dict[str, str], body: bytes) -> None:
        self.status = status
        self.headers = headers
        self.body = body

    def json(self) -> dict[str, object]:
        """The body as an object. Raises Unreachable when it is none: whoever sent it is no hostler."""
        with suppress(ValueError, RecursionError):
            value = json.loads(self.body)
            if isinstance(value, dict):
                return value
        raise Unreachable(f"it answered {self.status} with what is no JSON object")


def request(
    path: str, method: str, target: str, body: object = None, *, timeout: float | None = None
) -> Answer:
    """Send one request and read its answer.

    Raises TimeoutError when it is not there after `timeout` seconds (None: never), and Unreachable when there
    is nobody, or the hostler hangs: it may be busy for long with this, but not silent on another connection.
    """
    deadline = None if timeout is None else time.monotonic() + timeout
    with _sent(path, method, target, body) as connection:
        pieces = []
        for piece in _received(connection, SILENCE / 2, deadline):
            if piece is not None:
                pieces.append(piece)
            elif deadline is not None and time.monotonic() >= deadline:
                raise TimeoutError
            elif target == _LIVE:
                raise Unreachable(f"it has not answered for {SILENCE:g} s")
            else:
                probe(path)
    return _parse(b"".join(pieces))


def probe(path: str) -> None:
    """Raise Unreachable where nobody answers within half of SILENCE, of which the other half is over."""
    request(path, "GET", _LIVE)


def stream(path: str, target: str, kind: str = "text/event-stream") -> Iterator[list[bytes]]:
    """The lines of an answer of this type as they come; none of them when none came for a while.

    Ends with Unreachable.
    """
    with _sent(path, "GET", target, None, f"Accept: {kind}\r\n") as connection:
        data, in_head, heard_at = b"", True, time.monotonic()
        for piece in (pieces := _received(connection, _TICK)):
            if piece is None:
                if time.monotonic() - heard_at >= SILENCE / 2:
                    probe(path)
                    heard_at = time.monotonic()
                yield []
                continue
            heard_at = time.monotonic()
            data += piece
            if in_head and b"\r\n\r\n" in data:
                head, _, data = data.partition(b"\r\n\r\n")
                in_head = False
                if _status(head) != 200:
                    raise StreamRefused(_parse(head + b"\r\n\r\n" + data + _rest(pieces)))
            *lines, data = data.split(b"\n") if not in_head else [data]
            yield lines
    raise Closed("the connection was closed")


@contextmanager
def _sent(path: str, method: str, target: str, body: object, headers: str = "") -> Iterator[socket]:
    # HTTP/1.0: the end of an answer is the end of the connection, and nothing is sent in chunks.
    data = b"" if body is None else json.dumps(body).encode()
    head = f"{method} {target} HTTP/1.0\r\nHost: localhost\r\n{headers}"
    if body is not None:
        head += f"Content-Type: application/json\r\nContent-Length: {len(data)}\r\n"
    with closing(socket(AF_UNIX, SOCK_STREAM)) as connection:
        connection.settimeout(SILENCE / 2 if target == _LIVE else SILENCE)
        try:
            connection.connect(path)
            connection.sendall(head.encode("latin-1") + b"\r\n" + data)
        except OSError as error:
            reason = "it takes no request" if isinstance(error, TimeoutError) else error.strerror
            kind = Closed if isinstance(error, BrokenPipeError | ConnectionResetError) else Unreachable
            raise kind(reason or str(error)) from error
        yield connection


def _received(connection: socket, tick: float, deadline: float | None = None) -> Iterator[bytes | None]:
    """What comes, to its end; None each time that nothing came for `tick` seconds, and at the deadline."""
    while True:
        left = tick if deadline is None else min(tick, deadline - time.monotonic())
        connection.settimeout(max(left, _SHORTEST))
        try:
            piece = connection.recv(_CHUNK)
        except TimeoutError:
            yield None
            continue
        except OSError as error:
            raise Closed(error.strerror or str(error)) from None
        if not piece:
            return
        yield piece


def _rest(pieces: Iterator[bytes | None]) -> bytes:
    """What comes until nothing does for a moment."""
    data = b""
    for piece in pieces:
        if piece is None:
            break
        data += piece
    return data


def _parse(data: bytes) -> Answer:
    head, _, body = data.partition(b"\r\n\r\n")
    lines = head.decode("latin-1").split("\r\n")[1:]
    headers = {
        name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)
    }
    length = headers.get("content-length", "")
    if length.isdecimal() and len(body) < int(length):
        raise Closed("the connection was closed in the middle of an answer")
    return Answer(_status(head), headers, body)


def _status(head: bytes) -> int:
    words = head.split(b" ", 2)
    if not head:
        raise Closed("it was closed without an answer")
    if len(words) < 2 or not words[0].startswith(b"HTTP/1.") or not words[1].isdigit():
        raise Unreachable("what listens there speaks no HTTP")
    return int(words[1])
