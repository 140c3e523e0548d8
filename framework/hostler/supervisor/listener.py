"""One listener: an object that follows every event of every server, and what it reports with."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from typing import Protocol

import anyio
from msgspec import Struct, field

from hostler.concurrency.broadcast import Subscription
from hostler.concurrency.event_loop import loop_time
from hostler.events.events import Event, Notice, PluginFailed
from hostler.model.secret import Secret
from hostler.plugins.hidden_options import secrets_in
from hostler.plugins.hook_calls import SLOW_STEP, Outcome
from hostler.plugins.hook_stats import Failure, HookAccounting
from hostler.secrets.masking import Masker

LISTEN = "listen"
_REMEMBERED = 8192
_MOST_NOTICES = 60
_MINUTE = 60.0


class ListenerContext(Protocol):
    """What a listener reports and reads secrets with: the argument `context` of its `listen`."""

    def notice(self, topic: str, text: str, *, level: str = "info", **details: object) -> None:
        """Emit a notice of what the listener does or gives up: how many events it dropped, and why.

        It belongs to no server; its details have `listener`, the name. The listener does not get it itself.
        Of more than 60 in a minute the others are dropped, which the notice `notices_limited` says once.
        """

    def read_secret(self, secret: Secret) -> str:
        """The value of an option that is a secret, as it is now; masked from now on in what is reported.

        Errors are those of Secret.read.
        """

    def redact(self, value: str) -> None:
        """Register a secret that was found at run time: masked from now on in what is reported."""


class Listener(Protocol):
    """Follows all events of a supervisor: of `[listeners]`, or given as `Supervisor(..., listeners={...})`.

    Of a dataclass, the texts in fields with `repr=False` are masked in what is reported of it.
    """

    async def listen(self, events: AsyncIterator[Event], context: ListenerContext) -> None:
        """Take every event of every server; they end when the last server has stopped.

        It has 5 s after that. Of more than 8192 that wait the oldest are dropped: the notice `events_dropped`
        stands in their place. Returning means that it wants no more. When it raises, that is reported as
        PluginFailed, and it is called again after a delay with what waits; after three failures in a row,
        none of which came after a minute without one, it is called no more.
        """


class Patience(Struct, frozen=True):
    """How long a listener is waited for, in seconds; `stable` without a failure begins the count anew."""

    first_delay: float = 0.5
    longest_delay: float = 30.0
    stable: float = 60.0
    last: float = 5.0


class ListenerSetting(Struct, frozen=True):
    """What a listener reports to, where it finds secrets, and how long it is waited for."""

    publish: Callable[[Event], None]
    environ: Mapping[str, str]
    patience: Patience = field(default_factory=Patience)


class Listening:
    """One listener with its queue: called, timed, blamed, and called again. `secrets` are masked."""

    def __init__(
        self,
        name: str,
        listener: Listener,
        secrets: Iterable[str],
        events: Subscription[Event],
        setting: ListenerSetting,
    ) -> None:
        self._name, self._listener, self._setting = name, listener, setting
        self._masker = Masker(secrets)
        self._accounting = HookAccounting(self._report)
        self._ending = asyncio.Event()
        self._subscription = events
        self._context = _Context(name, self._masker, setting)
        self._arguments = {
            "events": _OthersEvents(events, self._context.own),
            "context": self._context,
        }

    def end(self) -> None:
        """Let its events end when it has taken what waits."""
        self._subscription.close()
        self._ending.set()

    async def run(self) -> None:
        """Call it until it has had enough, or has failed too often."""
        patience = self._setting.patience
        delay = patience.first_delay
        while not self._accounting.is_disabled(self._name, LISTEN):
            started = loop_time()
            outcome = await self._listen()
            if not outcome.reason or isinstance(outcome.error, asyncio.CancelledError):
                return
            if loop_time() - started >= patience.stable:
                self._accounting.note(self._name, LISTEN, 0.0, "")
                delay = patience.first_delay
            self._accounting.note(self._name, LISTEN, loop_time() - started, outcome.reason)
            with anyio.move_on_after(delay):
                await self._ending.wait()  # then it is called for its last events at once
            delay = min(delay * 2, patience.longest_delay)

    async def _listen(self) -> Outcome:
        outcome = Outcome()
        await outcome.contain(self._listener.listen, self._arguments)
        if outcome.held > SLOW_STEP:
            self._accounting.note_slow(self._name, LISTEN, "blocked the event loop", outcome.held)
        return outcome

    def _report(self, failure: Failure) -> None:
        reason = self._masker.text(failure.reason)
        self._setting.publish(
            PluginFailed(
                server="",
                generation=0,
                plugin=failure.plugin,
                hook=failure.hook,
                reason=reason,
                seconds=failure.seconds,
                disabled=failure.disabled,
            )
        )


class _Context:
    """The `context` of one listener; `own` are its notices, which it does not get."""

    def __init__(self, name: str, masker: Masker, setting: ListenerSetting) -> None:
        self._name, self._masker, self._setting = name, masker, setting
        self._times: deque[float] = deque(maxlen=_MOST_NOTICES)
        self._is_limited = False
        self.own: deque[Event] = deque(maxlen=_REMEMBERED)

    def notice(self, topic: str, text: str, *, level: str = "info", **details: object) -> None:
        """See ListenerContext."""
        now = loop_time()
        if len(self._times) < _MOST_NOTICES or now - self._times[0] >= _MINUTE:
            self._times.append(now)
            self._emit(topic, text, level, details)
        elif not self._is_limited:  # two that answer each other would go on for ever
            self._is_limited = True
            limit = f"more than {_MOST_NOTICES} notices in a minute: those above that are dropped from now on"
            self._emit("notices_limited", limit, "warning", {})

    def _emit(self, topic: str, text: str, level: str, details: Mapping[str, object]) -> None:
        masked = self._masker.nested({**details, "listener": self._name})
        text = self._masker.text(text)
        event = Notice(server="", generation=0, topic=topic, text=text, level=level, details=masked)
        self.own.append(event)
        self._setting.publish(event)

    def read_secret(self, secret: Secret) -> str:
        """See ListenerContext."""

        def warn(text: str) -> None:
            self.notice("secret_exposed", text, level="warning")

        value = secret.read(self._setting.environ, warn=warn)
        self.redact(value)
        return value

    def redact(self, value: str) -> None:
        """See ListenerContext."""
        for part in secrets_in(value):
            self._masker.register(part)


class _OthersEvents:
    """The events without the listener's own notices: one for each event would never end."""

    def __init__(self, events: Subscription[Event], own: deque[Event]) -> None:
        self._events, self._own = events, own

    def __aiter__(self) -> _OthersEvents:
        return self

    async def __anext__(self) -> Event:
        while True:
            event = await anext(self._events)
            if all(event is not one for one in self._own):
                return event
            # They come in order: those before it were dropped.
            while self._own.popleft() is not event:
                pass
