"""The restart policy in numbers."""

from __future__ import annotations

import pytest
from hostler import RestartPolicy
from hostler.engine.restart import Budget, after_running, at_once, spend

POLICY = RestartPolicy(max_restarts=8, initial_delay=0.5, max_delay=30.0, stable_after=10.0)


def delays(policy: RestartPolicy, chance: float) -> list[float]:
    budget = spend(Budget(), policy, chance)
    found = []

    while budget is not None:
        found.append(budget.last_delay)
        budget = spend(budget, policy, chance)

    return found


def test_delays_double_up_to_the_longest() -> None:
    assert delays(POLICY, 1.0) == [0.5, 1, 2, 4, 8, 16, 30, 30]


def test_chance_takes_its_share_of_every_delay() -> None:
    assert delays(POLICY, 0.5) == [0.25, 0.5, 1, 2, 4, 8, 15, 15]
    assert delays(POLICY, 0.0) == [0.0] * 8


def test_no_initial_delay_means_none_and_still_counts() -> None:
    assert delays(RestartPolicy(max_restarts=3, initial_delay=0.0), 1.0) == [0, 0, 0]


def test_nothing_is_left_above_the_limit() -> None:
    assert spend(Budget(used=8), POLICY, 1.0) is None
    assert spend(Budget(used=9), POLICY, 1.0) is None
    assert spend(Budget(), RestartPolicy(max_restarts=0), 1.0) is None


def test_many_thousand_restarts_are_no_overflow() -> None:
    policy = RestartPolicy(max_restarts=100_000, initial_delay=0.5, max_delay=30.0)
    assert spend(Budget(used=99_999), policy, 1.0) == Budget(100_000, 30.0)


@pytest.mark.parametrize(
    ("seconds", "last_delay", "given_back"),
    [
        (9.9, 0.0, False),
        (10.0, 0.0, True),
        (10.0, 30.0, False),  # a long delay before wants a run of twice its length
        (59.9, 30.0, False),
        (60.0, 30.0, True),
    ],
)
def test_only_a_run_that_was_long_enough_gives_the_budget_back(
    seconds: float, last_delay: float, given_back: bool
) -> None:
    budget = Budget(used=3, last_delay=last_delay)
    assert after_running(budget, POLICY, seconds) == (Budget() if given_back else budget)


def test_a_child_that_dies_just_after_the_healthy_mark_uses_up_its_budget() -> None:
    policy = RestartPolicy(max_restarts=6, initial_delay=1.0, max_delay=60.0, stable_after=1.0)
    budget: Budget | None = Budget()
    runs = 0

    while budget is not None and runs < 1000:
        budget = spend(after_running(budget, policy, 1.5), policy, 1.0)
        runs += 1

    assert runs == 7


def test_restart_now_keeps_what_was_spent_and_waits_no_time() -> None:
    assert at_once(Budget(2, 4.0)) == Budget(2, 0.0)
