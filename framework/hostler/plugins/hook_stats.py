"""Who failed, how often and how long it took: the account of every hook of every plugin of one server."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

_FAILURES_IN_A_ROW = 3
_NEVER_TAKEN_OUT = frozenset({"pre_spawn", "health_check"})


@dataclass(frozen=True, slots=True)
class Failure:
    """A hook of a plugin that failed or was `slow`; `disabled` when it will not be called any more."""

    plugin: str
    hook: str
    reason: str
    seconds: float = 0.0
    disabled: bool = False
    slow: bool = False


@dataclass(frozen=True, slots=True)
class HookStats:
    """The account of one hook of one plugin; seconds of all its calls together."""

    calls: int = 0
    failures: int = 0
    in_a_row: int = 0
    seconds: float = 0.0
    disabled: bool = False


class HookAccounting:
    """Keeps the accounts and tells failures on, as they happen."""

    def __init__(self, on_failure: Callable[[Failure], None]) -> None:
        self._on_failure = on_failure
        self._accounts: dict[tuple[str, str], HookStats] = {}
        self._slowest: dict[tuple[str, str], float] = {}

    @property
    def accounts(self) -> Mapping[tuple[str, str], HookStats]:
        """The accounts by plugin and hook, as they are now."""
        return MappingProxyType(dict(self._accounts))

    def account(self, plugin: str, hook: str) -> HookStats:
        """One account; an empty one before the first call."""
        return self._accounts.get((plugin, hook), HookStats())

    def called(self, plugin: str, hook: str, seconds: float) -> None:
        """Note a call that neither failed nor succeeded: it was cut off by somebody else."""
        old = self.account(plugin, hook)
        self._accounts[plugin, hook] = replace(old, calls=old.calls + 1, seconds=old.seconds + seconds)

    def succeeded(self, plugin: str, hook: str, seconds: float) -> None:
        """Note a call that did what it should."""
        self.called(plugin, hook, seconds)
        self._accounts[plugin, hook] = replace(self._accounts[plugin, hook], in_a_row=0)

    def failed(self, plugin: str, hook: str, reason: str, seconds: float) -> None:
        """Note a call that failed, tell it, and take the hook out after three in a row."""
        self.called(plugin, hook, seconds)
        old = self._accounts[plugin, hook]
        disabled = old.in_a_row + 1 >= _FAILURES_IN_A_ROW and hook not in _NEVER_TAKEN_OUT
        self._accounts[plugin, hook] = replace(
            old, failures=old.failures + 1, in_a_row=old.in_a_row + 1, disabled=disabled
        )
        self._on_failure(Failure(plugin, hook, reason, seconds, disabled))

    def slow(self, plugin: str, hook: str, what: str, seconds: float) -> None:
        """Tell of a call that took long: the first, and then only one that is twice as bad."""
        if seconds >= 2 * self._slowest.get((plugin, hook), 0.0):
            self._slowest[plugin, hook] = seconds
            self._on_failure(Failure(plugin, hook, f"{what} for {seconds:.2f} s", seconds, slow=True))

    def tell(self, plugin: str, hook: str, reason: str) -> None:
        """Tell of something that is not this plugin's fault; nothing is counted."""
        self._on_failure(Failure(plugin, hook, reason))
