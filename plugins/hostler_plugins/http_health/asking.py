"""One HTTP request after the other, and what each answer means."""

from __future__ import annotations

import asyncio
import errno
import re
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

import aiohttp
import anyio.to_thread
from hostler import Endpoint, Healthy, InvalidConfiguration, Report, ServerView, Unhealthy
from yarl import URL

from hostler_plugins.http_health.answers import brief, differences
from hostler_plugins.http_health.statuses import accepted

if TYPE_CHECKING:
    from hostler_plugins.http_health import HttpHealth

_MOST_BODY = 64 * 1024
_EXCERPT_SECONDS = 0.5
_NEVER = 86400.0  # aiohttp would wake up that often to look for connections that nobody uses


@asynccontextmanager
async def asking(
    options: HttpHealth, server: ServerView, endpoint: Endpoint
) -> AsyncIterator[Callable[[], Awaitable[Report]]]:
    """A probe for one run, without proxies and cookies; its connection is closed at the end."""
    try:
        trust = await _trust(options, server)
    except OSError as error:  # ssl.SSLError is one
        refused = InvalidConfiguration(f"http-health: ca = {str(options.ca)!r} cannot be used: {error}")
        report = Unhealthy(refused.message, permanent=True, error=refused)
        yield lambda: _always(report)
        return

    session = aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(keepalive_timeout=_NEVER),
        cookie_jar=aiohttp.DummyCookieJar(),
        timeout=aiohttp.ClientTimeout(total=None),
        trust_env=False,
    )

    try:
        yield Probe(options, server, endpoint.url + options.path, session, trust).ask
    finally:
        await session.close()


async def _trust(options: HttpHealth, server: ServerView) -> ssl.SSLContext | bool:
    if options.ca is None or not options.verify:
        return options.verify

    path = server.spec.cwd / options.ca.expanduser()
    return await anyio.to_thread.run_sync(lambda: ssl.create_default_context(cafile=str(path)))


async def _always(report: Report) -> Report:
    return report


@dataclass(frozen=True, slots=True)
class Probe:
    """What is asked, and of whom."""

    options: HttpHealth
    server: ServerView
    url: str
    session: aiohttp.ClientSession
    trust: ssl.SSLContext | bool

    async def ask(self) -> Report:
        """Make one request."""
        try:
            response = await self.session.request(
                self.options.method,
                URL(self.url, encoded=True),
                headers=self._headers(),
                ssl=self.trust,
                allow_redirects=self.options.follow_redirects,
            )
        except (aiohttp.ClientError, OSError, ValueError) as error:
            return self._bad(_explained(error))

        report: Report | None = None

        try:
            report = await self._judge(response)
        except (aiohttp.ClientError, OSError) as error:
            report = self._bad(f"the connection broke off within an answer: {brief(str(error))}")
        finally:
            # What is not read to its end cannot be used again; after a failure a new one is tried.
            response.release() if isinstance(report, Healthy) else response.close()

        return report

    def _headers(self) -> dict[str, str]:
        """Made anew for each request: a launcher may learn the password after the start."""
        own, auth = self.options.headers, self.server.auth
        has_own = any(name.lower() == "authorization" for name in own)
        return dict(own) if auth is None or has_own else {"Authorization": auth.header, **own}

    async def _judge(self, response: aiohttp.ClientResponse) -> Report:
        options, status = self.options, response.status
        line = f"{status} {brief(response.reason or '')}".strip()

        if status not in accepted(options.status):
            said = brief(await _excerpt(response))
            return self._bad(f"{line}{_redirect(response)}" + (f": {said}" if said else ""), status)

        kind = response.headers.get("Content-Type", "").partition(";")[0].strip().lower()

        if options.content_type is not None and not fnmatchcase(kind, options.content_type.lower()):
            said = brief(kind) or "no content type"
            return self._bad(f"{line}, but with {said} instead of {options.content_type}", status)

        if options.body is not None or options.json:
            wrong = self._wrong(await _body(response))

            if wrong:
                return self._bad(f"{line}, but {wrong}", status)

        return Healthy({"url": self.url.partition("?")[0], "status": status})

    def _wrong(self, body: str) -> str:
        options = self.options

        if options.body is not None and re.search(options.body, body) is None:
            return f"nothing in its body matches {options.body!r}"

        return "; ".join(differences(options.json, body)) if options.json else ""

    def _bad(self, text: str, status: int | None = None) -> Unhealthy:
        url = self.url.partition("?")[0]
        details = {"url": url} if status is None else {"url": url, "status": status}
        return Unhealthy(f"{self.options.method} {url}: {text}", details)


async def _body(response: aiohttp.ClientResponse) -> str:
    """The first 64 KiB of an answer's body."""
    data = b""

    while len(data) < _MOST_BODY and (piece := await response.content.readany()):
        data += piece

    try:
        return data[:_MOST_BODY].decode(response.charset or "utf-8", "replace")
    except LookupError:
        return data[:_MOST_BODY].decode("utf-8", "replace")


async def _excerpt(response: aiohttp.ClientResponse) -> str:
    """The beginning of a refusal's body, as far as it comes at once."""
    try:
        async with asyncio.timeout(_EXCERPT_SECONDS):
            return (await response.content.readany())[:_MOST_BODY].decode("utf-8", "replace")
    except (aiohttp.ClientError, OSError):  # TimeoutError is one
        return ""


def _redirect(response: aiohttp.ClientResponse) -> str:
    place = response.headers.get("Location", "").partition("?")[0]
    return f" to {brief(place)}" if place else ""


def _explained(error: Exception) -> str:
    """What it means that there was no answer."""
    match error:
        case aiohttp.ClientSSLError() | ssl.SSLError():
            return f"no TLS connection (see the options verify and ca): {brief(str(error))}"
        case OSError(errno=errno.ECONNREFUSED):
            return "connection refused"
        case aiohttp.ServerDisconnectedError():
            return "it closes the connection without an answer"
        case aiohttp.ClientResponseError():
            return f"its answer is no HTTP: {brief(error.message)}"
        case _:
            return f"it cannot be asked: {brief(str(error)) or type(error).__name__}"
