"""Everything that one server reports, masked: events, its log, its own event stream, its lines."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from enum import Enum
from functools import partial
from typing import Any, TypedDict, TypeVar

from hostler.concurrency.broadcast import Broadcast, Marks
from hostler.concurrency.event_loop import call_user_code
from hostler.errors import ServerError
from hostler.events.counts import ServerCounts
from hostler.events.crash import CrashRecord
from hostler.events.events import Event, HealthReported, Notice, Progress, StateChanged, events_dropped
from hostler.events.messages import in_words, log_level
from hostler.model.dataclass import field_names
from hostler.model.launch import LogFiles
from hostler.model.values import Exit, Healthy, Line, StreamEvent, StreamGap, Unhealthy
from hostler.runtime.server_counts import ServerCounting
from hostler.secrets.masking import Masker
from hostler.text.sanitize import harmless

_IDENTIFIERS = frozenset({"server", "plugin", "hook", "source", "topic", "level", "url", "time"})
_PLAIN = (int, float, Enum, type(None))
E = TypeVar("E", bound=ServerError)
R = TypeVar("R", bound=Healthy | Unhealthy)


def _length(line: Line) -> int:
    return len(line.text)


_MISSED: Marks[Line] = Marks(lambda line: line.missed, lambda line, missed: replace(line, missed=missed))


class Origin(TypedDict):
    """What every event names first: the server, and its run."""

    server: str
    generation: int


class Reporter:
    """The outgoing side of one server. `listener` is called with each event, on the loop's thread."""

    def __init__(self, name: str, listener: Callable[[Event], None]) -> None:
        self.name = name
        self.generation = 0
        self.masker = Masker()
        self.events: Broadcast[Event] = Broadcast(
            gap=lambda count: events_dropped(count, self.name, self.generation)
        )
        self.stream: Broadcast[StreamEvent | StreamGap] = Broadcast(
            gap=partial(StreamGap, "this listener is too slow"), weigh=_size
        )
        self.lines: Broadcast[Line] = Broadcast(weigh=_length, marks=_MISSED)
        self.counting = ServerCounting()
        self.event_count = 0
        self.skipped_events = 0
        self.last_event_at: datetime | None = None
        self.last_change: StateChanged | None = None
        self.log: LogFiles | None = None
        self._activity = (0, "")
        self._listener = listener
        self._log = logging.getLogger("hostler")

    def emit(self, event: Event) -> None:
        """Mask an event, and publish it to subscribers, to the listener and to the "hostler" logger."""
        event = self._masked_event(event)
        if isinstance(event, Progress):
            self.note_activity(in_words(event))
        elif isinstance(event, StateChanged):
            self.last_change = event
        self.events.publish(event)
        call_user_code(self._forward, event)

    def _forward(self, event: Event) -> None:
        self._listener(event)

        # Without a handler of the host's, logging would print warnings on stderr by itself.
        if self._log.hasHandlers() and self._log.isEnabledFor(level := log_level(event)):
            # Once more: a secret may stand across several texts of an event, as in an argv.
            self._write(level, harmless(self.masker.text(in_words(event))))

    def begin_run(self, generation: int) -> None:
        """Report about this run from now on."""
        self.generation = generation

    def note_log(self, log: LogFiles | None) -> None:
        """Note where the output of this run is written."""
        self.log = log

    @property
    def origin(self) -> Origin:
        """Names the server and its present run: `Exited(**reporter.origin, exit=...)`."""
        return {"server": self.name, "generation": self.generation}

    def note_activity(self, text: str) -> None:
        """Note what is being done for this run: it explains why the server is not ready."""
        self._activity = self.generation, text

    @property
    def activity(self) -> str:
        """What was noted last for this run; "" for none."""
        generation, text = self._activity
        return text if generation == self.generation else ""

    def _write(self, level: int, text: str) -> None:
        try:
            self._log.log(level, "%s: %s", self.name, text)
        except Exception as error:  # noqa: BLE001 - a fault in the host's logging must not end a server's life
            context = {"message": "logging of hostler's events failed", "exception": error}
            asyncio.get_running_loop().call_exception_handler(context)

    def notice(
        self, topic: str, text: str, level: str = "info", details: Mapping[str, object] | None = None
    ) -> None:
        """Publish a Notice."""
        self.emit(Notice(**self.origin, topic=topic, text=text, level=level, details=details or {}))

    def warn(self, topic: str, text: str) -> None:
        """Publish a warning."""
        self.notice(topic, text, "warning")

    def report_trouble(self, topic: str, text: str, details: Mapping[str, object]) -> None:
        """Publish what went wrong with the output, or that it is over."""
        self.notice(topic, text, "info" if topic == "sink_recovered" else "warning", details)

    def deliver(self, item: StreamEvent | StreamGap) -> None:
        """Pass on one event of the server's event stream and count it; a mark counts those it stands for."""
        if isinstance(item, StreamEvent):
            self.event_count += 1
            self.last_event_at = datetime.now(UTC)
        else:
            self.skipped_events += item.missed or 0
        self.stream.publish(item)

    def own(self, error: E, *, stdout: str = "", stderr: str = "") -> E:
        """Complete an error with the server's name and last lines, and mask what stands in it."""
        # First completed, then masked: the last lines may hold a secret that was found only now.
        error.with_context(server=self.name, stdout=stdout, stderr=stderr)
        if self.masker.is_empty:
            return error
        context = error.context
        error.replace_context(
            replace(
                context,
                message=self.masker.text(context.message),
                hint=self.masker.text(context.hint),
                details=self.masker.nested(context.details),
                stdout=self.masker.text(context.stdout),
                stderr=self.masker.text(context.stderr),
            )
        )
        self._cut_off_causes(error)
        return error

    def report(self, report: R) -> R:
        """Mask a report of a health plugin."""
        changed: dict[str, Any] = {"details": self.masker.nested(report.details)}
        if isinstance(report, Unhealthy):
            changed["reason"], changed["hint"] = (
                self.masker.nested(report.reason),
                self.masker.nested(report.hint),
            )
            changed["error"] = None if report.error is None else self.own(report.error)
        return replace(report, **changed)

    @property
    def counts(self) -> ServerCounts:
        """What was counted until now."""
        return self.counting.snapshot(self.events.dropped)

    def close(self) -> None:
        """End all subscriptions."""
        for channel in (self.events, self.stream, self.lines):
            channel.close()

    def _masked_event(self, event: Event) -> Event:
        """The event with every text masked, but those by which others know a thing."""
        # What is masked is a copy: the details of these two are a plugin's, which may change them.
        if self.masker.is_empty and not isinstance(event, Notice | HealthReported):
            return event
        names = (name for name in field_names(event) if name not in _IDENTIFIERS)
        values = {
            name: value
            for name in names
            if (value := getattr(event, name)) and not isinstance(value, _PLAIN)  # most are empty
        }
        masked = {name: self._masked_field(name, value) for name, value in values.items()}
        changed = {name: value for name, value in masked.items() if value is not values[name]}
        return replace(event, **changed) if changed else event

    def _masked_field(self, name: str, value: Any) -> Any:
        match value:
            case str() | tuple():
                return self.masker.nested(value)
            case Mapping():
                nested = self.masker.nested
                names_too = name == "details"  # the others are named by variables
                return nested(value) if names_too else {key: nested(text) for key, text in value.items()}
            case CrashRecord():
                return value.masked(self.masker.text)
            case Exit():
                stdout, stderr = self.masker.text(value.stdout), self.masker.text(value.stderr)
                return replace(value, stdout=stdout, stderr=stderr)
            case Healthy() | Unhealthy():
                return self.report(value)
            case _:
                return value

    def _cut_off_causes(self, error: BaseException) -> None:
        """Drop the exceptions behind this one from the first that shows a secret: tracebacks print them."""
        cause = error.__cause__ or error.__context__
        if cause is None:
            return
        if self.masker.found_in(repr(cause)) or self.masker.found_in(str(cause)):
            error.__cause__ = error.__context__ = None
        else:
            self._cut_off_causes(cause)


def _size(item: StreamEvent | StreamGap) -> int:
    return len(item.data) if isinstance(item, StreamEvent) else 0
