"""Classifies what can go wrong with a connection to an event stream."""

from __future__ import annotations

import errno
import ssl
from typing import TYPE_CHECKING

from hostler_plugins._connections import retry_after

if TYPE_CHECKING:
    import aiohttp

WRONG_PATH = "set the path of its event stream: sse-health = { path = ... }"
_NOTHING_SENT = "send credentials: sse-health = { headers = { Authorization = ... } }"
_WRONG_ONE_SENT = "check the server's password"
_TEMPORARY = frozenset({408, 409, 423, 425, 429})
_LASTING_ERRORS = frozenset({501, 505})


class StreamFailure(Exception):
    """Raised when a connection could not be had, or is over: `kind` is a stable word for the reason.

    `retry_after` is the wait in seconds that the server asked for. `lasting` says that time alone changes
    nothing, once it has started: there is no stream here, or not for us. `final` is its wish to be asked no
    more. `permanent` says that no restart can mend it.
    """

    def __init__(self, kind: str, text: str, *, hint: str = "", **details: object) -> None:
        super().__init__(text)
        self.kind = kind
        self.text = text
        self.hint = hint
        self.details = details
        self.retry_after: float | None = None
        self.lasting = False
        self.final = False
        self.permanent = False

    @property
    def body(self) -> str:
        """The beginning of the answer's body, where it was an error."""
        return str(self.details.get("body", ""))


def refusal(response: aiohttp.ClientResponse, body: str) -> StreamFailure:
    """What an answer other than 200 means."""
    status = response.status
    line = f"{status} {response.reason or ''}".strip()

    if status in {401, 403}:
        sent = "Authorization" in response.request_info.headers
        text = f"it refuses the credentials ({line})" if sent else f"it wants credentials ({line})"
        failure = StreamFailure("unauthorized", text, hint=_WRONG_ONE_SENT if sent else _NOTHING_SENT)
    elif status in {404, 405, 410}:
        failure = StreamFailure("not_found", f"there is nothing at this path ({line})", hint=WRONG_PATH)
    elif 300 <= status < 400:
        place = response.headers.get("Location", "nowhere").partition("?")[0][:200]
        failure = StreamFailure("redirect", f"it redirects ({line}) to {place}", hint=WRONG_PATH)
    elif status >= 500:
        failure = StreamFailure("server_error", f"it answers with an error ({line})")
    else:
        failure = StreamFailure("wrong_status", f"it answers {line} instead of 200", hint=WRONG_PATH)

    failure.details = {"status": status, "body": body}
    failure.retry_after = retry_after(response.headers.get("Retry-After", ""))
    failure.final = status == 204  # the standard: "a client can be told to stop reconnecting"
    failure.lasting = failure.retry_after is None and (
        status in _LASTING_ERRORS or (status < 500 and status not in _TEMPORARY)
    )
    return failure


def explain(error: Exception, connect_timeout: float) -> StreamFailure:
    """What an exception of aiohttp means when there was no answer yet."""
    import aiohttp  # noqa: PLC0415 - heavy

    match error:
        case aiohttp.ServerTimeoutError():
            kind, text = "connect_timeout", f"no connection within {connect_timeout:g} s"
        case aiohttp.ClientSSLError() | ssl.SSLError() | ssl.CertificateError():
            kind, text = "tls", f"no TLS connection (see the option verify): {brief(error)}"
        case OSError(errno=errno.ECONNREFUSED):
            kind, text = "refused", "connection refused"
        case aiohttp.ClientConnectorError():
            kind, text = "unreachable", f"it cannot be reached: {brief(error)}"
        case aiohttp.ServerDisconnectedError():
            kind, text = "disconnected", "it closes the connection without an answer"
        case OSError():
            kind, text = "reset", f"the connection broke off before an answer: {brief(error)}"
        case aiohttp.ClientResponseError():  # its status of 400 was sent by nobody
            kind, text = "malformed", f"its answer is not HTTP: {' '.join(error.message.split())[:200]}"
        case _:
            kind, text = "unusable", f"the request failed: {brief(error)}"

    return StreamFailure(kind, text)


def brief(error: Exception) -> str:
    """An exception in one short line."""
    return " ".join(f"{error}".split())[:200] or type(error).__name__
