"""The restart policy in numbers."""

from __future__ import annotations

import errno
from typing import Any

import pytest
from crashes import crash
from hostler import Action, Exit, ExitCause, Kind, RestartMode, RestartPolicy, ServerError, ServerSpec, State
from hostler.engine.restart import Crash, Decision, blames_its_port, decide
from hostler.runtime.restart_budget import Budget, after_running, at_once, spend
from msgspec.structs import replace

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


# -- what follows a crash --------------------------------------------------------------------------

RETRIES = RestartPolicy(start_retries=2, initial_delay=0.5, max_restarts=8)
READY = Budget(was_ready=True)
IN_USE = "bind: Address already in use\n"


def crashed(
    action: Action | None = None, *, permanent: bool = False, needs: str = "", **of_exit: Any
) -> Crash:
    details = {"needs": needs} if needs else {}
    error = ServerError("it died", permanent=permanent, details=details)
    values: dict[str, Any] = {
        "cause": ExitCause.EXITED,
        "generation": 1,
        "code": 3,
        "pid": 4711,
        "ready": True,
    } | of_exit
    return Crash(Exit(**values), error, action, crash())


def decided(
    found: Crash,
    budget: Budget = READY,
    *,
    command: str = "",
    port_lingers: bool = False,
    jitter: float = 1.0,
    **of_spec: Any,
) -> Decision:
    given: dict[str, Any] = {"name": "web", "command": ("web",), "restart": RETRIES, "port": None}
    spec = ServerSpec(**given | of_spec)
    return decide(found, spec, budget, command=command, port_lingers=port_lingers, jitter=jitter)


NOT_READY: dict[str, Any] = {"ready": False}
NEVER: dict[str, Any] = {"restart": RestartPolicy(policy=RestartMode.NEVER)}
ALWAYS: dict[str, Any] = {"restart": RestartPolicy(policy=RestartMode.ALWAYS, initial_delay=0.5)}
TASK: dict[str, Any] = {"kind": Kind.TASK}


@pytest.mark.parametrize(
    ("found", "budget", "of_spec", "outcome", "reason"),
    [
        (crashed(code=0), READY, {}, State.STOPPED, "it has done its work"),
        (crashed(code=0), READY, ALWAYS, State.BACKOFF, ""),
        (crashed(code=0), READY, {"port": 0}, State.BACKOFF, ""),
        (crashed(code=0, **NOT_READY), Budget(), {}, State.BACKOFF, ""),
        (crashed(code=0, cause=ExitCause.UNHEALTHY), READY, {}, State.BACKOFF, ""),
        (crashed(), READY, {}, State.BACKOFF, ""),
        (crashed(), READY, NEVER, State.FAILED, "it is not to be restarted"),
        (crashed(**NOT_READY), Budget(), NEVER, State.BACKOFF, ""),
        (crashed(**NOT_READY), Budget(), NEVER | TASK, State.FAILED, "it is not to be restarted"),
        (crashed(permanent=True), READY, {}, State.FAILED, "a restart cannot help"),
        (crashed(permanent=True, needs="db"), READY, {}, State.FAILED, "it waits for db"),
        (crashed(Action.GIVE_UP), READY, ALWAYS, State.FAILED, "a restart cannot help"),
        (crashed(), Budget(8, was_ready=True), {}, State.FAILED, "gave up after 8 restarts"),
        (crashed(**NOT_READY), Budget(8, retries=1), {}, State.BACKOFF, ""),
        (crashed(**NOT_READY), Budget(retries=2), {}, State.FAILED, "it never became ready"),
    ],
)
def test_what_follows_a_crash(
    found: Crash, budget: Budget, of_spec: dict[str, Any], outcome: State, reason: str
) -> None:
    decision = decided(found, budget, **of_spec)
    assert (decision.outcome, decision.reason) == (outcome, reason)
    assert decision.done == (outcome is State.STOPPED)
    assert (decision.budget == budget) == (outcome is not State.BACKOFF)


@pytest.mark.parametrize("found", [crashed(), crashed(code=0), crashed(permanent=True)])
def test_a_command_beats_everything_and_spends_nothing(found: Crash) -> None:
    decision = decided(found, command="stop asked for", port_lingers=True)
    assert decision == Decision(State.STOPPED, READY, "stop asked for")


@pytest.mark.parametrize(
    ("found", "budget", "after"),
    [
        (crashed(), READY, Budget(1, 0.25, was_ready=True)),
        (crashed(), Budget(2, 9.0, was_ready=True), Budget(3, 1.0, was_ready=True)),
        (crashed(Action.BACK_OFF), READY, Budget(1, 0.25, was_ready=True)),
        (crashed(Action.RESTART_NOW), READY, Budget(1, 0.0, was_ready=True)),
        (crashed(**NOT_READY), Budget(), Budget(0, 0.5, retries=1)),  # no jitter before it was ever ready
        (crashed(Action.RESTART_NOW, **NOT_READY), Budget(), Budget(0, 0.0, retries=1)),
    ],
)
def test_what_a_restart_spends_and_how_long_it_waits(found: Crash, budget: Budget, after: Budget) -> None:
    assert decided(found, budget, jitter=0.5).budget == after


def test_what_is_spent_counts_retries_until_it_was_ready_and_restarts_after_that() -> None:
    assert Budget(3, retries=1).spent(RETRIES) == (1, 2)
    assert Budget(3, retries=1, was_ready=True).spent(RETRIES) == (3, 8)


# -- a port that connections of a former run keep --------------------------------------------------


def blames(found: Crash, budget: Budget = READY, **of_spec: Any) -> bool:
    return blames_its_port(found, ServerSpec(name="web", command=("web",), **of_spec), budget)


@pytest.mark.parametrize("output", [IN_USE, "", "[Errno 98] oops", "Error: listen EADDRINUSE: :::80"])
def test_a_start_that_could_not_bind_blames_its_port(output: str) -> None:
    assert blames(crashed(stderr=output, **NOT_READY)) == ("98" not in output or errno.EADDRINUSE == 98)


@pytest.mark.parametrize(
    ("found", "budget", "of_spec"),
    [
        (crashed(stderr=IN_USE), READY, {}),
        (crashed(stderr="no such table\n", **NOT_READY), READY, {}),
        (crashed(pid=None, **NOT_READY), READY, {}),
        (crashed(permanent=True, **NOT_READY), READY, {}),
        (crashed(Action.GIVE_UP, **NOT_READY), READY, {}),
        (crashed(**NOT_READY), Budget(waited=True), {}),
        (crashed(**NOT_READY), READY, TASK),
    ],
)
def test_who_has_another_reason_does_not_blame_its_port(
    found: Crash, budget: Budget, of_spec: dict[str, Any]
) -> None:
    assert not blames(found, budget, **of_spec)


def test_a_wait_for_the_port_spends_nothing_once_and_again_after_it_was_ready() -> None:
    found = crashed(**NOT_READY)
    waits = decided(found, Budget(0, 0.5, retries=2), port_lingers=True)
    assert waits == Decision(State.BACKOFF, Budget(0, 0.0, retries=2, waited=True))
    assert decided(found, waits.budget).outcome is State.FAILED
    assert not decided(crashed(), replace(waits.budget, was_ready=True)).budget.waited
