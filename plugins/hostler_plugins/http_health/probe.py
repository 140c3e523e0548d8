"""One HTTP request after the other, and what each answer means."""

from __future__ import annotations

import asyncio
import json
import re
import ssl
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

import aiohttp
from hostler import (
    Endpoint,
    HealthRule,
    Healthy,
    InvalidConfiguration,
    PortInUse,
    Report,
    ServerView,
    Unhealthy,
)
from yarl import URL

from hostler_plugins._connections import holds_secret, retry_after
from hostler_plugins._own_connector import OwnConnector
from hostler_plugins.http_health.answers import brief, differences
from hostler_plugins.http_health.hints import Cure, cure_of_answer, cure_of_error, explained
from hostler_plugins.http_health.status_ranges import accepted
from hostler_plugins.http_health.tls import make_trust

if TYPE_CHECKING:
    from hostler_plugins.http_health import HttpHealth

_MOST_BODY = 64 * 1024
_EXCERPT_SECONDS = 0.5
_PATIENCE = 5.0  # some servers answer 401 before they have registered all that they serve
_JSON_OR_STREAM = "application/json, text/event-stream;q=0.9, */*;q=0.1"  # MCP wants both named
_NEVER = 86400.0  # aiohttp would wake up that often to look for connections that nobody uses


@asynccontextmanager
async def asking(
    options: HttpHealth, server: ServerView, endpoint: Endpoint
) -> AsyncIterator[Callable[[], Awaitable[Report]]]:
    """A probe for one run; its connection is closed at the end."""
    try:
        trust = await make_trust(options, server)
    except OSError as error:  # ssl.SSLError is one
        refused = InvalidConfiguration(f"http-health: {_files(options)} cannot be used: {error}")
        report = Unhealthy(refused.message, permanent=True, error=refused)
        yield lambda: _always(report)
        return

    probe = Probe(options, server, endpoint, trust)
    try:
        yield probe.ask
    finally:
        await probe.close()


def _files(options: HttpHealth) -> str:
    named = {"ca": options.ca, "certificate": options.certificate, "key": options.key}
    return ", ".join(f"{name} = {str(path)!r}" for name, path in named.items() if path is not None)


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
    _was_healthy: bool = False
    _refused_since: float | None = None

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
            cure = cure_of_error(self.options, error, self.endpoint.scheme)
            report = self._cured(self._bad(explained(error)), cure)
        finally:
            if not isinstance(report, Healthy):
                await self.close()

        if isinstance(report, Healthy):
            self._was_healthy = True

        return report

    def _cured(self, bad: Unhealthy, cure: Cure) -> Unhealthy:
        """Add the remedy, and give up where the server has refused for long enough."""
        now = time.monotonic()

        if not cure.lasting or self._was_healthy:
            self._refused_since = None
            return replace(bad, hint=cure.hint)

        self._refused_since = self._refused_since or now
        spec = self.server.spec
        alone = getattr(spec, "health", HealthRule.ALL) is HealthRule.ALL
        over = now - self._refused_since >= min(_PATIENCE, spec.startup_timeout / 3)
        return replace(bad, hint=cure.hint, permanent=alone and over)

    async def close(self) -> None:
        """Let go of the connection."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    def _new_session(self) -> aiohttp.ClientSession:
        """A session without proxies and cookies, and without time limits: the probe has one."""
        return aiohttp.ClientSession(
            connector=self._new_connector(),
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=None),
            trust_env=False,
        )

    def _new_connector(self) -> OwnConnector:
        options = self.options
        secret = options.certificate is not None or holds_secret(self.server, _body_of(options) or "")
        if options.method == "POST":  # a kept one may be closed meanwhile, and a POST is not made twice
            return OwnConnector(self.server, self.endpoint, secret=secret, force_close=True)
        return OwnConnector(self.server, self.endpoint, secret=secret, keepalive_timeout=_NEVER)

    async def _request(self) -> aiohttp.ClientResponse:
        session = self._session = self._session or self._new_session()
        return await session.request(
            self.options.method,
            URL(self.url, encoded=True),
            headers=self._headers(),
            data=_body_of(self.options),
            ssl=self.trust,
            allow_redirects=self.options.follow_redirects,
        )

    def _headers(self) -> dict[str, str]:
        """Made anew for each request: a launcher may learn the password after the start."""
        own, auth = self.options.sent_headers, self.server.auth
        has_own = any(name.lower() == "authorization" for name in own)
        headers = dict(own) if auth is None or has_own else {"Authorization": auth.header, **own}
        return _suited(headers, self.options)

    async def _judge(self, response: aiohttp.ClientResponse) -> Report:
        options, status = self.options, response.status
        line = f"{status} {brief(response.reason or '')}".strip()

        if status not in accepted(options.status):
            text = await _excerpt(response)
            said = brief(text)
            bad = self._bad(f"{line}{_redirect(response)}" + (f": {said}" if said else ""), status)
            bad = self._cured(bad, cure_of_answer(options, response, text))
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
    """The first 64 KiB of an answer's body; of an event stream, the data of the first event."""
    if response.content_type == "text/event-stream":
        return await _first_event(response)

    data = b""
    while len(data) < _MOST_BODY and (piece := await response.content.readany()):
        data += piece

    try:
        return data[:_MOST_BODY].decode(response.charset or "utf-8", "replace")
    except LookupError:
        return data[:_MOST_BODY].decode("utf-8", "replace")


async def _first_event(response: aiohttp.ClientResponse) -> str:
    data, read = [], 0
    while read < _MOST_BODY and (line := await response.content.readline()):
        read += len(line)
        text = line.decode("utf-8", "replace").rstrip("\r\n")
        if text.startswith("data:"):
            data.append(text.removeprefix("data:").removeprefix(" "))
        elif not text and data:
            break

    return "\n".join(data)


def _body_of(options: HttpHealth) -> str | None:
    return json.dumps(options.send) if isinstance(options.send, dict) else options.send


def _suited(headers: dict[str, str], options: HttpHealth) -> dict[str, str]:
    """With what a body needs, unless that is set: its type, and what may come back."""
    if options.send is None:
        return headers
    plain = isinstance(options.send, str) and not options.send.lstrip().startswith(("{", "["))
    kind = "text/plain; charset=utf-8" if plain else "application/json"
    known = {name.lower() for name in headers}
    more = {"Content-Type": kind, "Accept": _JSON_OR_STREAM}
    return headers | {name: value for name, value in more.items() if name.lower() not in known}


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
