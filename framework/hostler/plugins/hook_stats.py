"""Statistics of every hook of every plugin of one server: calls, failures, seconds."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

from msgspec import Struct

_FAILURES_IN_A_ROW = 3
# Without these two a server would start in another environment, or pass for healthy.
_NEVER_DISABLED = frozenset({"pre_spawn", "health_check"})


class Failure(Struct, frozen=True):
    """A hook of a plugin that failed or was `slow`; `disabled` when it is called no more."""

    plugin: str
    hook: str
    reason: str
    seconds: float = 0.0
    disabled: bool = False
    slow: bool = False


class HookStats(Struct, frozen=True):
    """The statistics of one hook of one plugin; seconds of all its calls together.

    `in_a_row` are the failures since the last call without one, `disabled` that it is called no more.
    """

    calls: int = 0
    failures: int = 0
    in_a_row: int = 0
    seconds: float = 0.0
    disabled: bool = False


_NONE = HookStats()


class HookAccounting:
    """Counts and times every call, reports each failure, and disables a hook after three in a row."""

    def __init__(self, on_failure: Callable[[Failure], None]) -> None:
        self._on_failure = on_failure
        self._stats: dict[tuple[str, str], HookStats] = {}
        self._slowest: dict[tuple[str, str], float] = {}

    @property
    def stats(self) -> Mapping[tuple[str, str], HookStats]:
        """What was counted by plugin and hook; a snapshot."""
        return MappingProxyType(dict(self._stats))

    def is_disabled(self, plugin: str, hook: str) -> bool:
        """Whether this hook of this plugin is called no more."""
        return self._stats.get((plugin, hook), _NONE).disabled

    def note(self, plugin: str, hook: str, seconds: float, reason: str | None) -> None:
        """Count a call: `reason` says why it failed, "" that it did not, None that others cut it off."""
        old = self._stats.get((plugin, hook), _NONE)
        in_a_row = old.in_a_row if reason is None else old.in_a_row + 1 if reason else 0
        disabled = in_a_row >= _FAILURES_IN_A_ROW and hook not in _NEVER_DISABLED
        self._stats[plugin, hook] = HookStats(
            old.calls + 1, old.failures + bool(reason), in_a_row, old.seconds + seconds, disabled
        )
        if reason:
            self._on_failure(Failure(plugin, hook, reason, seconds, disabled))

    def note_slow(self, plugin: str, hook: str, what: str, seconds: float) -> None:
        """Report a call that took long: the first, and then only one that is twice as slow."""
        # A plugin that is slow is so with every line: each of them would be a message.
        if seconds >= 2 * self._slowest.get((plugin, hook), 0.0):
            self._slowest[plugin, hook] = seconds
            self._on_failure(Failure(plugin, hook, f"{what} for {seconds:.2f} s", seconds, slow=True))
