"""The restart policy: how often, and after which delay. Pure arithmetic; clock and chance are passed in."""

from __future__ import annotations

from dataclasses import dataclass

from hostler.model.spec import RestartPolicy


@dataclass(frozen=True, slots=True)
class Budget:
    """What has been spent: automatic restarts since the last stable run, and the last delay in seconds."""

    used: int = 0
    last_delay: float = 0.0


def after_running(budget: Budget, policy: RestartPolicy, seconds: float) -> Budget:
    """Give the budget back after a run that was ready without interruption for long enough.

    Long enough is max(`stable_after`, twice the last delay): a child that dies just after it looks
    healthy must not loop for ever.
    """
    return Budget() if seconds >= max(policy.stable_after, 2 * budget.last_delay) else budget


def spend(budget: Budget, policy: RestartPolicy, chance: float) -> Budget | None:
    """Take one restart out of the budget; None when none is left.

    The new budget's `last_delay` is the time to wait: exponential from `initial_delay` to
    `max_delay`, times `chance` (0 to 1: full jitter).
    """
    if budget.used >= policy.max_restarts:
        return None

    ceiling = policy.initial_delay * 2.0 ** min(budget.used, 64)
    return Budget(budget.used + 1, min(ceiling, policy.max_delay) * chance)


def at_once(budget: Budget) -> Budget:
    """Keep what was spent but wait no time: what "restart now" means."""
    return Budget(budget.used, 0.0)
