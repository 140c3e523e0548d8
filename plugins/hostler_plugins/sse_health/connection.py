"""One connection to an event stream."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from hostler import Endpoint, PortInUse, ServerView, StreamEvent, StreamGap

from hostler_plugins.sse_health.event_stream import EventStreamParser
from hostler_plugins.sse_health.failures import WRONG_PATH, StreamFailure, brief, explain, refusal

if TYPE_CHECKING:
    import aiohttp

_BODY = 4096
_BODY_SECONDS = 2.0
_LONGEST_ID = 1024
_LATE = 0.2
_SECOND_CHANCE = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamTarget:
    """What to ask for, and how long to wait; times in seconds, `max_event` in bytes.

    `first_event_timeout` is one deadline over the connect, the headers and the first complete event
    or comment. `permanent_bodies` are patterns of answers that trying again cannot change.
    """

    url: str
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    verify: bool = True
    connect_timeout: float = 5.0
    first_event_timeout: float = 10.0
    max_event: int = 4 * 1024 * 1024
    permanent_bodies: tuple[re.Pattern[str], ...] = ()


@asynccontextmanager
async def open_session(server: ServerView, endpoint: Endpoint) -> AsyncIterator[aiohttp.ClientSession]:
    """A session to the server itself, without proxies, cookies and pooled connections; closed at the end."""
    import aiohttp  # noqa: PLC0415 - heavy

    from hostler_plugins._own_connector import OwnConnector  # noqa: PLC0415 - heavy

    session = aiohttp.ClientSession(
        connector=OwnConnector(server, endpoint, limit=0, force_close=True),
        cookie_jar=aiohttp.DummyCookieJar(),
        trust_env=False,
        auto_decompress=False,
    )
    try:
        yield session
    finally:
        await session.close()


class EventStream:
    """One connection: `open`, then `read` until it raises StreamFailure; `close` in any case.

    `opened` tells whether the first event or comment came.
    """

    def __init__(
        self, session: aiohttp.ClientSession, target: StreamTarget, *, last_event_id: str = ""
    ) -> None:
        self.parser = EventStreamParser(max_event=target.max_event, last_event_id=last_event_id)
        self.opened = False
        self._session = session
        self._target = target
        self._response: aiohttp.ClientResponse | None = None
        self._closed: asyncio.Future[None] | None = None

    async def open(self) -> list[StreamEvent | StreamGap]:
        """Connect and wait for the first event or comment; what came with it is returned."""
        limit = self._target.first_event_timeout
        missing = "it accepts connections, but does not answer"
        try:
            async with asyncio.timeout(limit):
                await self._connect()
                missing = "it answers, but sends no event"
                events: list[StreamEvent | StreamGap] = []
                while not self._has_begun(events):
                    events += await self._next()
        except TimeoutError as error:
            kind = "no_answer" if self._response is None else "no_first_event"
            raise StreamFailure(kind, f"{missing} within {limit:g} s") from error

        self.opened = True
        return events

    def _has_begun(self, events: list[StreamEvent | StreamGap]) -> bool:
        """Whether anything has come to its end: an event, were it too large, or a comment."""
        parser = self.parser
        return bool(parser.comments or parser.skipped) or any(isinstance(e, StreamEvent) for e in events)

    async def read(self, timeout: float) -> list[StreamEvent | StreamGap]:
        """Wait for more bytes and return the events that they complete; TimeoutError when none come."""
        clock = asyncio.get_running_loop().time
        ends = clock() + timeout

        try:
            async with asyncio.timeout(timeout):
                return await self._next()
        except TimeoutError:
            if clock() <= ends + _LATE:
                raise

        # Nobody read: the program, or the whole machine, slept meanwhile. What came is there now.
        async with asyncio.timeout(min(timeout, _SECOND_CHANCE)):
            return await self._next()

    def close(self) -> None:
        """Let go of the connection, at once."""
        if self._response is not None:
            self._response.close()

    async def _connect(self) -> None:
        response = self._response = await self._get()
        if response.connection is not None and response.connection.protocol is not None:
            self._closed = getattr(response.connection.protocol, "closed", None)
        if self._closed is not None:
            self._closed.add_done_callback(_take_note)
        await self._check(response)

    async def _get(self) -> aiohttp.ClientResponse:
        import aiohttp  # noqa: PLC0415 - heavy
        from yarl import URL  # noqa: PLC0415 - heavy

        target = self._target
        # Uncompressed, since a compressor keeps events back until its block is full.
        headers = {"Accept": "text/event-stream", "Accept-Encoding": "identity", "Cache-Control": "no-store"}
        last_event_id = self.parser.last_event_id
        # The server chose it, and it goes into a header: nothing endless, and no line ends.
        if last_event_id and len(last_event_id) <= _LONGEST_ID and last_event_id.isprintable():
            headers["Last-Event-ID"] = last_event_id

        try:
            return await self._session.get(
                URL(target.url, encoded=True),
                headers=headers | dict(target.headers),
                ssl=target.verify,
                allow_redirects=False,
                timeout=aiohttp.ClientTimeout(total=None, sock_connect=target.connect_timeout),
            )
        except PortInUse as error:
            raise StreamFailure("stranger", error.message, hint=error.context.hint) from error
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise explain(error, target.connect_timeout) from error

    async def _check(self, response: aiohttp.ClientResponse) -> None:
        if response.status != 200:
            failure = refusal(response, await _excerpt(response))
            failure.permanent = any(p.search(failure.body) for p in self._target.permanent_bodies)
            raise failure

        kind = response.headers.get("Content-Type", "").partition(";")[0].strip().lower()
        if kind != "text/event-stream":
            said = kind or "no content type"
            text = f"it answers with {said} instead of text/event-stream"
            failure = StreamFailure("wrong_type", text, hint=WRONG_PATH, status=200, content_type=kind)
            failure.lasting = True
            raise failure

        encoding = response.headers.get("Content-Encoding", "identity").strip().lower()
        if encoding not in {"", "identity"}:
            text = f"it compresses its event stream ({encoding}) although that was not asked for"
            raise StreamFailure("wrong_encoding", text, status=200)

    async def _next(self) -> list[StreamEvent | StreamGap]:
        """The events of the next bytes; after each piece others have their turn on the loop."""
        data = await self._receive()
        await asyncio.sleep(0)
        return self.parser.feed(data)

    async def _receive(self) -> bytes:
        import aiohttp  # noqa: PLC0415 - heavy

        assert self._response is not None

        try:
            data = await self._response.content.readany()
        except (aiohttp.ClientError, OSError) as error:
            why = "within an answer" if isinstance(error, aiohttp.ClientPayloadError) else brief(error)
            raise StreamFailure("reset", f"the connection broke off: {why}") from error

        if not data:
            if self._was_reset():
                raise StreamFailure("reset", "the connection broke off")
            raise StreamFailure("ended", "the server ended the stream")

        return data

    def _was_reset(self) -> bool:
        """Whether what looks like an end was a reset: aiohttp hides it where a body has no length."""
        closed = self._closed
        return closed is not None and closed.done() and closed.exception() is not None


def _take_note(closed: asyncio.Future[None]) -> None:
    """Fetch the outcome, so that asyncio does not complain about a reset that nobody asked about."""
    _ = closed.cancelled() or closed.exception()


async def _excerpt(response: aiohttp.ClientResponse) -> str:
    """The beginning of an answer's body, as far as it comes."""
    import aiohttp  # noqa: PLC0415 - heavy

    body = b""
    try:
        async with asyncio.timeout(_BODY_SECONDS):
            while len(body) < _BODY and (data := await response.content.readany()):
                body += data
    except (aiohttp.ClientError, OSError):  # TimeoutError is one: what came is enough
        pass

    return body[:_BODY].decode("utf-8", "replace").strip()
