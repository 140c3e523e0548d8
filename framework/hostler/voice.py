"""What one server tells the world: events, its log, its own event stream, its lines, all masked."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import TypeVar

from hostler.channel import Channel
from hostler.errors import ServerError
from hostler.events import Event, Notice
from hostler.model import Line, StreamEvent, StreamGap
from hostler.secrets import Masker
from hostler.wording import in_words, log_level

E = TypeVar("E", bound=ServerError)


class Voice:
    """The outgoing side of one server. `listener` is called with each event, on the loop's thread."""

    def __init__(self, name: str, listener: Callable[[Event], None]) -> None:
        self.name = name
        self.generation = 0
        self.masker = Masker()
        self.events: Channel[Event] = Channel(gap=self._events_dropped)
        self.stream: Channel[StreamEvent | StreamGap] = Channel(gap=_stream_dropped)
        self.lines: Channel[Line] = Channel(limit=4096)
        self.event_count = 0
        self.last_event_at: datetime | None = None
        self._listener = listener
        self._log = logging.getLogger("hostler")

    def say(self, event: Event) -> None:
        """Publish an event to subscribers, to the listener and to the "hostler" logger."""
        self.events.publish(event)
        self._listener(event)
        level = log_level(event)

        # Without a handler of the host's, logging would print warnings on stderr by itself.
        if self._log.isEnabledFor(level) and self._log.hasHandlers():
            self._write(level, self.masker.text(in_words(event)))

    def _write(self, level: int, text: str) -> None:
        try:
            self._log.log(level, "%s: %s", self.name, text)
        except Exception as error:  # noqa: BLE001 - a fault in the host's logging must not end a server's life
            context = {"message": "logging of hostler's events failed", "exception": error}
            asyncio.get_running_loop().call_exception_handler(context)

    def notice(
        self, topic: str, text: str, level: str = "info", details: Mapping[str, object] | None = None
    ) -> None:
        """Publish a Notice, masked."""
        plain = {key: self._masked(value) for key, value in (details or {}).items()}
        self.say(
            Notice(
                server=self.name,
                generation=self.generation,
                topic=topic,
                text=self.masker.text(text),
                level=level,
                details=plain,
            )
        )

    def deliver(self, item: StreamEvent | StreamGap) -> None:
        """Pass on one event of the server's event stream and count it."""
        if isinstance(item, StreamEvent):
            self.event_count += 1
            self.last_event_at = datetime.now(UTC)

        self.stream.publish(item)

    def own(self, error: E, *, stdout: str = "", stderr: str = "") -> E:
        """Complete an error with the server's name and last lines, and mask what stands in it."""
        error.with_context(server=self.name, stdout=stdout, stderr=stderr)
        context = error.context
        error.context = replace(
            context,
            message=self.masker.text(context.message),
            hint=self.masker.text(context.hint),
            details={key: self._masked(value) for key, value in context.details.items()},
            stdout=self.masker.text(context.stdout),
            stderr=self.masker.text(context.stderr),
        )
        error.args = (error.context.message,)
        return error

    def close(self) -> None:
        """End all subscriptions."""
        for channel in (self.events, self.stream, self.lines):
            channel.close()

    def _masked(self, value: object) -> object:
        return self.masker.text(value) if isinstance(value, str) else value

    def _events_dropped(self, count: int) -> Event:
        return Notice(
            server=self.name,
            generation=self.generation,
            topic="events_dropped",
            text=f"{count} events were dropped: this listener is too slow",
            level="warning",
            details={"count": count},
        )


def _stream_dropped(count: int) -> StreamGap:
    return StreamGap("this listener is too slow", count)
