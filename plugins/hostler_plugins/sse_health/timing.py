"""When to connect to an event stream again, and when its silence means something: arithmetic only."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field

_QUICKEST = 0.02  # the first wait while a server starts: it listens, and answers 0.1 to 2 s later
_FIRST_REFUSAL = 0.1
_SHORTEST_LIMIT = 30.0  # a busy server is late with its heartbeat


@dataclass(slots=True)
class Retries:
    """The waits between connections, in seconds; `failures` counts those since the last first event.

    Before the first connection the waits grow from 20 ms to `first`. After it, a connection that held for
    `first` is renewed at once; the waits between shorter ones grow from `first` to `longest`. What the
    server asks for is kept, up to `longest`.
    """

    first: float
    longest: float
    draw: Callable[[float, float], float] = random.uniform
    failures: int = field(init=False, default=0)
    _step: int = field(init=False, default=0)
    _opened: float | None = field(init=False, default=None)
    ever_opened: bool = field(init=False, default=False)

    def opened(self, now: float) -> None:
        """The first event came."""
        self._opened = now
        self.ever_opened = True
        self.failures = 0

    def failed(self, now: float, *, wanted: float | None = None, required: float | None = None) -> float:
        """The wait after a failure; the server `wanted` (retry:) or `required` (Retry-After) a longer one."""
        held = self._opened is not None and now - self._opened >= self.first
        self._opened = None
        self._step = 0 if held else self._step + 1
        self.failures += 1
        if not self.ever_opened:
            return max(min(self._grown(_QUICKEST), self.first), min(required or 0.0, self.longest))
        delay = min(self._grown(self.first), self.longest) if self._step else 0.0
        return min(max(self.draw(delay / 2, delay), wanted or 0.0, required or 0.0), self.longest)

    def _grown(self, delay: float) -> float:
        return delay * 2.0 ** min(self._step - 1, 30)


@dataclass(slots=True)
class Refusals:
    """How long an answer that the server means is asked for again, in seconds: it may not be ready yet."""

    patience: float
    _since: float | None = field(init=False, default=None)
    _wait: float = field(init=False, default=_FIRST_REFUSAL)

    def refused(self, now: float) -> float | None:
        """The least wait until it is asked again; None when it has given this answer for long enough."""
        self._since = now if self._since is None else self._since
        rest = self._since + self.patience - now
        wait, self._wait = self._wait, self._wait * 2
        return min(wait, rest) if rest > 0 else None

    def end(self) -> None:
        """It gave another answer."""
        self._since, self._wait = None, _FIRST_REFUSAL


@dataclass(slots=True)
class HeartbeatMonitor:
    """How long a stream may be silent: `fixed`, or three times the longest pause between its heartbeats.

    The limit is None as long as no heartbeat was seen: such a stream may be silent for ever.
    """

    fixed: float | None = None
    _last: float = field(init=False, default=0.0)
    _longest: float | None = field(init=False, default=None)

    @property
    def limit(self) -> float | None:
        """The longest silence in seconds."""
        if self.fixed is not None or self._longest is None:
            return self.fixed
        return max(_SHORTEST_LIMIT, 3 * self._longest)

    def started(self, now: float) -> None:
        """A connection is open: the first heartbeat is counted from here."""
        self._last = now

    def beat(self, now: float) -> None:
        """A heartbeat came."""
        self._longest = max(self._longest or 0.0, now - self._last)
        self._last = now
