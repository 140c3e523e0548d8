"""The restarts that a server has left since the start that somebody asked for. Pure: time is passed in."""

from __future__ import annotations

from msgspec import Struct
from msgspec.structs import replace

from hostler.model.spec import RestartPolicy


class Budget(Struct, frozen=True):
    """What has been spent since the start that somebody asked for.

    `used` are automatic restarts since the last stable run, `last_delay` is the last delay in seconds.
    Until it `was_ready` once, only the `retries` of its first start count. `waited` tells that the last
    restart waited for connections of a former run that kept its port.
    """

    used: int = 0
    last_delay: float = 0.0
    retries: int = 0
    was_ready: bool = False
    waited: bool = False

    def spent(self, policy: RestartPolicy) -> tuple[int, int]:
        """The restarts that are used, and how many there are."""
        if self.was_ready:
            return self.used, policy.max_restarts
        return self.retries, policy.start_retries


def after_running(budget: Budget, policy: RestartPolicy, seconds: float) -> Budget:
    """Give the restarts back after a run that was ready without interruption for long enough.

    Long enough is max(`stable_after`, twice the last delay): a child that dies just after it looks
    healthy must not loop for ever.
    """
    stable = seconds >= max(policy.stable_after, 2 * budget.last_delay)
    return replace(budget, used=0, last_delay=0.0) if stable else budget


def spend(budget: Budget, policy: RestartPolicy, jitter: float) -> Budget | None:
    """Take one restart out of the budget; None when none is left.

    The new budget's `last_delay` is the time to wait: exponential from `initial_delay` to
    `max_delay`, times `jitter` (0 to 1: full jitter).
    """
    if budget.used >= policy.max_restarts:
        return None
    # The exponent is bounded: a float overflows at 2 ** 1024, and max_restarts may be larger than that.
    ceiling = policy.initial_delay * 2.0 ** min(budget.used, 64)
    return replace(budget, used=budget.used + 1, last_delay=min(ceiling, policy.max_delay) * jitter)


def at_once(budget: Budget) -> Budget:
    """Keep what was spent but wait no time: what "restart now" means."""
    return replace(budget, last_delay=0.0)
