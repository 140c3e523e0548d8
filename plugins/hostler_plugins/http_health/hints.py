"""What went wrong with a request, in words, and what cures it: an option of http-health, mostly."""

from __future__ import annotations

import errno
import re
import ssl
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urljoin, urlsplit

import aiohttp

from hostler_plugins.http_health.answers import brief

if TYPE_CHECKING:
    from hostler_plugins.http_health import HttpHealth

_HOST = re.compile(
    r"host header|invalid host|allowed_?hosts|disallowedhost|blocked hosts?|this host|misdirected",
    re.IGNORECASE,
)
_WANTS_TLS = re.compile(r"http request.{0,40}https|instead use the https", re.IGNORECASE | re.DOTALL)
_WANTS_CERTIFICATE = re.compile(r"(ssl|tls|client) certificate", re.IGNORECASE)
_TLS_RECORD, _HTTP2_FRAME = r"b'\x15\x03", r"b'\x00\x00"  # as an exception shows what came

CREDENTIALS = 'set user and password = { secret = "env:NAME" } of http-health, or headers'
CERTIFICATE = "set certificate, and key, of http-health: a certificate that the server accepts"
HOST = 'set headers = { Host = "NAME" } of http-health to a name that it accepts, or have it accept this one'
HTTPS = 'set scheme = "https", of the server or of http-health'
HTTP2 = "http-health speaks HTTP/1.1: use tcp-health, or exec-health with a client that speaks HTTP/2"


@dataclass(frozen=True, slots=True)
class Cure:
    """What to do; `lasting` where the server's answer stays what it is, however long it is asked."""

    hint: str = ""
    lasting: bool = False


def cure_of_answer(options: HttpHealth, response: aiohttp.ClientResponse, body: str) -> Cure:
    """What cures an answer with a wrong status."""
    status = response.status
    if 300 <= status < 400 and "Location" in response.headers:
        place = brief(response.headers["Location"].partition("?")[0])
        also = "or path to where it leads" if _leads_here(response) else "as it leads elsewhere"
        return Cure(
            f'set follow_redirects = true of http-health, {also} ({place}), or status = "2xx, {status}"'
        )
    if status == 421 or (400 <= status < 500 and _HOST.search(body)):
        return Cure(HOST, lasting=True)

    if status in {400, 403, 495, 496, 497}:
        if status == 497 or _WANTS_TLS.search(body):
            return Cure(HTTPS, lasting=True)
        if status in {495, 496} or _WANTS_CERTIFICATE.search(body):
            return Cure(CERTIFICATE, lasting=True)

    if status in {401, 403}:
        sent = "Authorization" in response.request_info.headers
        return Cure("check user, password and headers of http-health" if sent else CREDENTIALS, lasting=True)

    return _cure_of_request(options, status)


def _leads_here(response: aiohttp.ClientResponse) -> bool:
    """Whether a redirect stays at this host and port: only then another path can be asked in its place."""
    try:
        there = urlsplit(urljoin(str(response.url), response.headers["Location"]))
    except ValueError:
        return False
    return (there.scheme, there.netloc) == (response.url.scheme, response.url.authority)


def _cure_of_request(options: HttpHealth, status: int) -> Cure:
    match status:
        case 400 if options.method != "POST":  # Django, for one, does not say why
            return Cure(f"if it refuses the Host header: {HOST}")
        case 405:
            return Cure(
                f"set method of http-health to another one than {options.method}, or path", lasting=True
            )
        case 406 | 415:
            return Cure("set headers of http-health: Accept, or Content-Type", lasting=True)
        case 426 | 505:
            return Cure(HTTP2, lasting=True)
        case _:
            return Cure()


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


def cure_of_error(options: HttpHealth, error: Exception, scheme: str) -> Cure:
    """What cures that there was no answer at all."""
    text = str(getattr(error, "message", error))
    upper = text.upper().replace(" ", "_")
    if _HTTP2_FRAME in text or "HTTP/2" in text or "NO_APPLICATION_PROTOCOL" in upper:
        return Cure(HTTP2, lasting=True)
    if _TLS_RECORD in text:
        return Cure(HTTPS, lasting=True)
    if "WRONG_VERSION_NUMBER" in upper or "RECORD_LAYER_FAILURE" in upper:
        return Cure(
            'it does not speak TLS: set scheme = "http", of the server or of http-health', lasting=True
        )
    if "CERTIFICATE_VERIFY_FAILED" in upper:
        return Cure("set ca of http-health to the certificate that it shows, or verify = false", lasting=True)
    if scheme == "https" and any(
        word in upper for word in ("CERTIFICATE_REQUIRED", "HANDSHAKE_FAILURE", "BAD_CERTIFICATE")
    ):
        return Cure(CERTIFICATE, lasting=True)

    return _cure_of_silence(options, error, scheme)


def _cure_of_silence(options: HttpHealth, error: Exception, scheme: str) -> Cure:
    """The connection was made, and closed or reset at once: a server may do so while it starts, too."""
    if not isinstance(error, aiohttp.ServerDisconnectedError | ConnectionResetError):
        return Cure()
    if scheme == "https":
        return (
            Cure() if options.certificate is not None else Cure(f"if it wants a certificate: {CERTIFICATE}")
        )
    return Cure(f"if it speaks TLS: {HTTPS}; if it speaks HTTP/2 (gRPC): {HTTP2}")
