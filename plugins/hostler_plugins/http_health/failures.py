"""What it means that a server gave no answer."""

from __future__ import annotations

import errno
import ssl

import aiohttp

from hostler_plugins.http_health.answers import brief


def explained(error: Exception) -> str:
    """An exception of a request, in words."""
    match error:
        case aiohttp.ClientSSLError() | ssl.SSLError():
            return f"no TLS connection (see the options verify and ca): {brief(str(error))}"
        case OSError(errno=errno.ECONNREFUSED):
            return "connection refused"
        case aiohttp.ServerDisconnectedError():
            return "it closes the connection without an answer"
        case aiohttp.ClientPayloadError():
            return "the connection broke off within an answer"
        case aiohttp.TooManyRedirects():
            return "it redirects without end"
        case aiohttp.ClientResponseError():
            return f"its answer is no HTTP: {brief(error.message)}"
        case _:
            return f"it cannot be asked: {brief(str(error)) or type(error).__name__}"
