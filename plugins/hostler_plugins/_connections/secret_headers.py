"""Request headers of an option, some of which are secrets that stand elsewhere."""

from __future__ import annotations

import re
from collections.abc import Mapping

from hostler import Launch, Secret, ServerView, is_secret_name

_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+", re.ASCII)  # RFC 9110, 5.6.2: token


def check_headers(headers: Mapping[str, str | Secret]) -> None:
    """Raise ValueError for what is no header."""
    for name, value in headers.items():
        if not _NAME.fullmatch(name):
            raise ValueError(f"headers: {name!r} is no name of a header")
        if isinstance(value, str) and not value.isprintable():
            raise ValueError(f"headers: the value of {name} has to be one line of printable letters")


def read_headers(headers: Mapping[str, str | Secret], server: ServerView, launch: Launch) -> dict[str, str]:
    """The headers as they are now; what is secret of them is masked from now on."""
    read = {
        name: launch.read_secret(value) if isinstance(value, Secret) else value
        for name, value in headers.items()
    }

    redact_headers(read, server)
    return read


def redact_headers(headers: Mapping[str, str], server: ServerView) -> None:
    """Mask what is secret of these headers from now on."""
    for name, value in headers.items():
        if is_secret_name(name.replace("-", "_")):
            server.redact(value)
            server.redact(value.partition(" ")[2])  # "Bearer ..."
