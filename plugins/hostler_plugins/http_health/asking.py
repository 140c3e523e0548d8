"""One HTTP request after the other, and what each answer means."""

from __future__ import annotations

import asyncio
import re
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

import aiohttp
import anyio.to_thread
from hostler import Endpoint, Healthy, InvalidConfiguration, PortInUse, Report, ServerView, Unhealthy
from yarl import URL

from hostler_plugins.http_health.answers import brief, differences
from hostler_plugins.http_health.failures import explained
from hostler_plugins.http_health.statuses import accepted
from hostler_plugins.own_connector import OwnConnector
from hostler_plugins.retry_after import retry_after

if TYPE_CHECKING:
    from hostler_plugins.http_health import HttpHealth

_MOST_BODY = 64 * 1024
_EXCERPT_SECONDS = 0.5
_NEVER = 86400.0  # aiohttp would wake up that often to look for connections that nobody uses


@asynccontextmanager
async def asking(
    options: HttpHealth, server: ServerView, endpoint: Endpoint
) -> AsyncIterator[Callable[[], Awaitable[Report]]]:
    """A probe for one run; its connection is closed at the end."""
    try:
        trust = await _trust(options, server)
    except OSError as error:  # ssl.SSLError is one
        refused = InvalidConfiguration(f"http-health: ca = {str(options.ca)!r} cannot be used: {error}")
        report = Unhealthy(refused.message, permanent=True, error=refused)
        yield lambda: _always(report)
        return

    probe = Probe(options, server, endpoint, trust)

    try:
        yield probe.ask
    finally:
        await probe.close()


async def _trust(options: HttpHealth, server: ServerView) -> ssl.SSLContext | bool:
    if options.ca is None or not options.verify:
        return options.verify

    path = server.spec.cwd / options.ca
    return await anyio.to_thread.run_sync(lambda: ssl.create_default_context(cafile=str(path)))


async def _always(report: Report) -> Report:
    return report


@dataclass(slots=True)
class Probe:
    """What is asked, and of whom. The connection is kept while all is well."""

    options: HttpHealth
    server: ServerView
    endpoint: Endpoint
    trust: ssl.SSLContext | bool
    _session: aiohttp.ClientSession | None = None

    @property
    def url(self) -> str:
        """What is asked for."""
        return self.endpoint.url + self.options.path

    async def ask(self) -> Report:
        """Make one request; after a failure the next one gets a new connection."""
        report: Report | None = None

        try:
            async with await self._request() as response:
                report = await self._judge(response)
        except PortInUse as error:
            report = self._bad(error.message)
        except (aiohttp.ClientError, OSError, ValueError) as error:
            report = self._bad(explained(error))
        finally:
            if not isinstance(report, Healthy):
                await self.close()

        return report

    async def close(self) -> None:
        """Let go of the connection."""
        session, self._session = self._session, None

        if session is not None:
            await session.close()

    def _new_session(self) -> aiohttp.ClientSession:
        """A session without proxies and cookies, and without time limits: the probe has one."""
        return aiohttp.ClientSession(
            connector=OwnConnector(self.server, self.endpoint, keepalive_timeout=_NEVER),
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=None),
            trust_env=False,
        )

    async def _request(self) -> aiohttp.ClientResponse:
        session = self._session = self._session or self._new_session()
        return await session.request(
            self.options.method,
            URL(self.url, encoded=True),
            headers=self._headers(),
            ssl=self.trust,
            allow_redirects=self.options.follow_redirects,
        )

    def _headers(self) -> dict[str, str]:
        """Made anew for each request: a launcher may learn the password after the start."""
        own, auth = self.options.sent_headers, self.server.auth
        has_own = any(name.lower() == "authorization" for name in own)
        return dict(own) if auth is None or has_own else {"Authorization": auth.header, **own}

    async def _judge(self, response: aiohttp.ClientResponse) -> Report:
        options, status = self.options, response.status
        line = f"{status} {brief(response.reason or '')}".strip()

        if status not in accepted(options.status):
            said = brief(await _excerpt(response))
            bad = self._bad(f"{line}{_redirect(response)}" + (f": {said}" if said else ""), status)
            return replace(bad, retry_after=retry_after(response.headers.get("Retry-After", "")))

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
