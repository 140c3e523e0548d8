"""The context of a listener without a supervisor."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterable, Mapping
from dataclasses import dataclass, field

import anyio

from hostler.concurrency.event_loop import loop_time
from hostler.events.events import Event
from hostler.model.secret import Secret
from hostler.supervisor.listener import Listener, Patience
from hostler.testing.fake_context import RecordedNotice


@dataclass(eq=False)
class FakeListenerContext:
    """Listeners are called with it where no supervisor is needed.

    What a listener does is kept in `notices` and `redacted`; `environ` is where its secrets are read.
    """

    environ: Mapping[str, str] = field(default_factory=lambda: os.environ)
    notices: list[RecordedNotice] = field(default_factory=list)
    redacted: list[str] = field(default_factory=list)

    def notice(self, topic: str, text: str, *, level: str = "info", **details: object) -> None:
        """See ListenerContext."""
        self.notices.append(RecordedNotice(topic, text, level, details))

    def read_secret(self, secret: Secret) -> str:
        """See ListenerContext."""
        value = secret.read(self.environ)
        self.redact(value)
        return value

    def redact(self, value: str) -> None:
        """See ListenerContext."""
        self.redacted.append(value)

    async def run(self, listener: Listener, events: Iterable[Event] | AsyncIterator[Event]) -> None:
        """Call a listener with these events; as at the end of a run it has 5 s when they are over.

        Raises what it raises, and TimeoutError when it takes longer than that.
        """
        with anyio.CancelScope() as scope:
            await listener.listen(_given(events, scope), self)
        if scope.cancelled_caught:
            raise TimeoutError(f"{type(listener).__name__} went on for 5 s after its last event")


async def _given(
    events: Iterable[Event] | AsyncIterator[Event], scope: anyio.CancelScope
) -> AsyncIterator[Event]:
    if isinstance(events, AsyncIterator):
        async for event in events:
            yield event
    else:
        for event in events:
            yield event
    scope.deadline = loop_time() + Patience().last
