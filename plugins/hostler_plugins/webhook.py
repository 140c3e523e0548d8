"""Sends events to an address as JSON."""

from __future__ import annotations

import asyncio
import json
import random
import time
from collections import deque
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from importlib import import_module
from typing import TYPE_CHECKING
from urllib.parse import urlsplit
from uuid import uuid4

import anyio
import anyio.to_thread
from hostler import Duration, EnvironmentSetupFailed, Event, Secret, __version__, is_secret_name, option

from hostler_plugins._connections import check_headers, retry_after
from hostler_plugins._option_checks import check_positive

if TYPE_CHECKING:
    import aiohttp
    from hostler import ListenerContext

_FOR_NOW = frozenset({408, 425, 429})
"""Answers below 500 after which the same request may succeed."""

_LAST_DELAY = 0.5
_BETWEEN_REPORTS = 60.0


@dataclass(eq=False)
class Webhook:
    """Sends each event as JSON to an address: a POST for each, one after the other.

    The body is the object that `hostler run --json` prints. An answer of 2xx means that it has arrived. After
    408, 425, 429, 5xx, a timeout or a broken connection it is sent again, less and less often, or when
    `Retry-After` says; any other answer is final, and a redirect is not followed. `webhook-id` is the same
    for all attempts of one event: a receiver that gets it twice can leave one out. When the run ends, the
    last events have 5 s. Notices tell of failures, of events that were dropped, and that it works again.
    """

    url: str | Secret = option(..., "The address, `https://...` or `http://...`", secret=True)
    headers: dict[str, str | Secret] = option({}, "Headers of the requests", secret=True)
    events: list[str] = option(
        ["*"],
        'The kinds of events to send, as in `"event"` of their JSON: `["state", "crash"]`; `*` stands for '
        'any letters, and `"!memory"` leaves a kind out',
    )
    servers: list[str] = option(
        ["*"],
        'The servers whose events are sent, written in the same way; `""` stands for events of no server',
    )
    timeout: Duration = option(Duration(10), "How long a request may take")
    retry_for: Duration = option(Duration(600), "How long an event is kept while it cannot be delivered")
    initial_delay: Duration = option(
        Duration(1),
        "The first wait before another attempt. It doubles each time, and is shortened at random",
    )
    max_delay: Duration = option(Duration(60), "The longest wait, unless `Retry-After` asks for a longer one")
    queue: int = option(1000, "How many events may wait; of more than that the oldest are dropped")

    def __post_init__(self) -> None:
        check_positive(self, "timeout", "retry_for", "initial_delay", "max_delay")
        check_headers(self.headers)
        if isinstance(self.url, str) and not _is_address(self.url):
            raise ValueError('url: expected an address such as "https://example.org/hook"')
        if isinstance(self.url, str) and "@" in urlsplit(self.url).netloc and self._has_authorization():
            raise ValueError("headers: Authorization is made of the user in url; leave out one of them")
        if self.queue < 1:
            raise ValueError("queue: must be 1 or more")
        kinds = sorted({kind.kind for kind in Event.__subclasses__()})
        for pattern in self.events:
            if not any(fnmatchcase(kind, pattern.removeprefix("!")) for kind in kinds):
                raise ValueError(f'events: there is no kind "{pattern}"; there are: {", ".join(kinds)}')

    def _has_authorization(self) -> bool:
        return any(name.lower() == "authorization" for name in self.headers)

    async def listen(self, events: AsyncIterator[Event], context: ListenerContext) -> None:
        """Send what is wanted until the events have ended and nothing waits."""
        # On a thread: it takes long enough for the event loop to be missed.
        await anyio.to_thread.run_sync(import_module, "aiohttp")
        outbox = _Outbox(self.queue)
        reading = asyncio.create_task(self._read(events, outbox))
        try:
            await _Sender(self, context, outbox).run()
        finally:
            reading.cancel()

    async def _read(self, events: AsyncIterator[Event], outbox: _Outbox) -> None:
        async for event in events:
            if _is_among(event.kind, self.events) and _is_among(event.server, self.servers):
                outbox.push(event)
        outbox.end()


def _is_address(text: str) -> bool:
    try:
        parts = urlsplit(text)
        return parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False


def _is_among(word: str, patterns: Sequence[str]) -> bool:
    wanted = [one for one in patterns if not one.startswith("!")] or ["*"]
    unwanted = [one[1:] for one in patterns if one.startswith("!")]
    return any(fnmatchcase(word, one) for one in wanted) and not any(
        fnmatchcase(word, one) for one in unwanted
    )


@dataclass(frozen=True, slots=True)
class _Waiting:
    """An event that is to be sent, and since when."""

    event: Event
    since: float


class _Outbox:
    """The events that wait; of too many the oldest are dropped. Ends when no more will come."""

    def __init__(self, limit: int) -> None:
        self._waiting: deque[_Waiting] = deque()
        self._limit = limit
        self._news = asyncio.Event()
        self.ended = asyncio.Event()
        self._dropped = 0

    def push(self, event: Event) -> None:
        """Add an event."""
        if len(self._waiting) == self._limit:
            self._waiting.popleft()
            self._dropped += 1
        self._waiting.append(_Waiting(event, time.monotonic()))
        self._news.set()

    def end(self) -> None:
        """No more will come."""
        self.ended.set()
        self._news.set()

    def take_dropped(self) -> int:
        """How many were dropped since the last call."""
        dropped, self._dropped = self._dropped, 0
        return dropped

    def take_all(self) -> int:
        """Drop what waits, and count it."""
        count = len(self._waiting)
        self._waiting.clear()
        return count

    def __aiter__(self) -> _Outbox:
        return self

    async def __anext__(self) -> _Waiting:
        while not self._waiting:
            if self.ended.is_set():
                raise StopAsyncIteration
            self._news.clear()
            await self._news.wait()
        return self._waiting.popleft()


@dataclass(frozen=True, slots=True)
class _Failure:
    """Why an attempt failed; `required` is the wait in seconds that Retry-After asks for."""

    text: str
    is_final: bool = False
    required: float | None = None


@dataclass(frozen=True, slots=True)
class _Target:
    """Where to, with what headers: all secrets read."""

    url: str
    headers: dict[str, str]


class _Sender:
    """Delivers what waits in the outbox, and reports what it cannot."""

    def __init__(self, hook: Webhook, context: ListenerContext, outbox: _Outbox) -> None:
        self._hook, self._context, self._outbox = hook, context, outbox
        self._target: _Target | None = None
        self._failures = 0
        self._is_told = False
        self._under_way = 0
        self._dropped = 0
        self._reason = "they came faster than they could be sent"
        self._next_report = 0.0

    async def run(self) -> None:
        """Go on until the outbox has ended; what could not be delivered by then is reported."""
        import aiohttp  # noqa: PLC0415 - heavy

        limit = aiohttp.ClientTimeout(total=self._hook.timeout)
        try:
            async with aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar(), timeout=limit) as session:
                async for waiting in self._outbox:
                    self._under_way = 1
                    await self._deliver(waiting, session)
                    self._under_way = 0
                    self._report_dropped()
        finally:
            self._dropped += self._under_way + self._outbox.take_all()
            self._report_dropped(at_once=True)

    async def _deliver(self, waiting: _Waiting, session: aiohttp.ClientSession) -> None:
        body = json.dumps(waiting.event.as_dict()).encode()
        identity = uuid4().hex
        while not self._failures or time.monotonic() < waiting.since + self._hook.retry_for:
            failure = await self._attempt(body, identity, session)
            if failure is None:
                self._note_success()
                return
            self._note_failure(failure)
            if failure.is_final:
                break
            await self._rest(failure.required)
        self._dropped += 1

    async def _attempt(self, body: bytes, identity: str, session: aiohttp.ClientSession) -> _Failure | None:
        import aiohttp  # noqa: PLC0415 - heavy

        try:
            target = self._target = self._target or self._read_target()
            headers = {**target.headers, "webhook-id": identity}
            async with session.post(
                target.url, data=body, headers=headers, allow_redirects=False
            ) as response:
                return _refusal(response)
        except EnvironmentSetupFailed as error:
            return _Failure(error.message)
        except TimeoutError:
            return _Failure(f"no answer within {self._hook.timeout:g} s")
        except aiohttp.ClientConnectorError as error:
            return _Failure(f"no connection: {error.os_error.strerror or error.os_error}")
        except (aiohttp.ClientError, OSError, ValueError) as error:
            # Its text may quote the address or a header.
            return _Failure(f"the request failed: {type(error).__name__}")

    def _read_target(self) -> _Target:
        own = {"Content-Type": "application/json", "User-Agent": f"hostler/{__version__}"}
        for name, value in self._hook.headers.items():
            text = self._context.read_secret(value) if isinstance(value, Secret) else value
            if isinstance(value, Secret) or is_secret_name(name.replace("-", "_")):
                self._context.redact(text)
                self._context.redact(text.partition(" ")[2])  # "Bearer ..."
            own = {other: kept for other, kept in own.items() if other.lower() != name.lower()}
            own[name] = text
        url = self._hook.url
        return _Target(self._context.read_secret(url) if isinstance(url, Secret) else url, own)

    async def _rest(self, required: float | None) -> None:
        ended = self._outbox.ended
        if required is not None:
            await anyio.sleep(min(required, self._hook.retry_for))
            return
        delay = min(self._hook.initial_delay * 2.0 ** min(self._failures - 1, 30), self._hook.max_delay)
        delay = random.uniform(delay / 2, delay)  # noqa: S311 - so that many do not come at once
        if ended.is_set():
            await anyio.sleep(min(delay, _LAST_DELAY))
            return
        with anyio.move_on_after(delay):
            await ended.wait()  # then there is little time left

    # -- reports ------------------------------------------------------------------------------

    def _note_success(self) -> None:
        if self._is_told:
            self._context.notice("webhook_recovered", "events are delivered again")
        self._failures, self._is_told = 0, False

    def _note_failure(self, failure: _Failure) -> None:
        self._failures += 1
        self._reason = failure.text
        self._target = None  # a secret may have changed
        if not self._is_told and (failure.is_final or self._failures > 1):
            self._is_told = True
            self._context.notice(
                "webhook_failing", f"events cannot be delivered: {failure.text}", level="warning"
            )

    def _report_dropped(self, *, at_once: bool = False) -> None:
        self._dropped += self._outbox.take_dropped()
        now = time.monotonic()
        if self._dropped and (at_once or now >= self._next_report):
            count, self._dropped, self._next_report = self._dropped, 0, now + _BETWEEN_REPORTS
            events = "1 event was" if count == 1 else f"{count} events were"
            self._context.notice(
                "webhook_dropped", f"{events} not delivered: {self._reason}", level="warning", count=count
            )


def _refusal(response: aiohttp.ClientResponse) -> _Failure | None:
    status = response.status
    if 200 <= status < 300:
        return None
    text = f"the answer is {status}"
    if 300 <= status < 400:
        return _Failure(f"{text}, a redirect, which is not followed", is_final=True)
    if status < 500 and status not in _FOR_NOW:
        return _Failure(text, is_final=True)
    return _Failure(text, required=retry_after(response.headers.get("Retry-After", "")))
