"""HTTP messages as bytes, for those who send and receive them themselves."""

from __future__ import annotations

import http.client
from collections.abc import Mapping
from email.message import Message
from io import BytesIO

from hostler.client.errors import Unreachable

LONGEST_HEAD = 65_536


def render(
    method: str, target: str, headers: Mapping[str, str], body: bytes = b"", *, version: str = "1.1"
) -> bytes:
    """A request. The answer to one of version 1.0 ends with its connection, and comes in no chunks."""
    known = dict(headers)
    if body or method != "GET":
        known["Content-Length"] = str(len(body))
    lines = [f"{method} {target} HTTP/{version}", *(f"{name}: {value}" for name, value in known.items())]
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body


def status_of(head: bytes) -> int:
    """The status in the head of an answer. Raises Unreachable."""
    words = head.split(None, 2)
    if len(words) < 2 or not words[0].startswith(b"HTTP/1.") or not words[1].isdigit():
        raise Unreachable("what listens there speaks no HTTP")
    return int(words[1])


def headers_of(head: bytes) -> Message:
    """The headers in the head of an answer."""
    _, _, lines = head.partition(b"\r\n")
    return http.client.parse_headers(BytesIO(lines))
