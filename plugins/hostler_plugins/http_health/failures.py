"""What it means that a server gave no answer."""

from __future__ import annotations

import errno
import ssl

import aiohttp

from hostler_plugins.http_health.answers import brief


def explained(error: Exception) -> str:
    """An exception of a request, in words."""
    said = brief(str(error)) or type(error).__name__
    text = f"the request failed: {said}"

    match error:
        case aiohttp.ClientSSLError() | ssl.SSLError():
            text = f"no TLS connection (see the options verify and ca): {said}"
        case OSError(errno=errno.ECONNREFUSED):
            text = "connection refused"
        case aiohttp.ServerDisconnectedError():
            text = "it closes the connection without an answer"
        case aiohttp.ClientPayloadError():
            text = "the connection was closed in the middle of an answer"
        case aiohttp.TooManyRedirects():
            text = "it redirects endlessly"
        case aiohttp.ClientResponseError():  # its status of 400 was sent by nobody
            text = f"its answer is not HTTP: {brief(error.message)}"

    return text
