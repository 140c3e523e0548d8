"""After a crash: is there another run, and when? Pure: time, jitter and commands are passed in."""

from __future__ import annotations

import errno
import os
import re

from msgspec import Struct
from msgspec.structs import replace

from hostler.errors import ServerError
from hostler.events.crash import CrashRecord
from hostler.model.choices import Kind, RestartMode
from hostler.model.spec import RestartPolicy, ServerSpec
from hostler.model.states import DONE, State
from hostler.model.values import Action, Exit, ExitCause
from hostler.runtime.restart_budget import Budget, at_once, spend

# As libraries and runtimes print it; where the system speaks another language, by its number.
_IN_USE = (
    rf"(?i)address (is )?(already )?in use|EADDRINUSE|AddrInUse|AddressInUse"
    rf"|(errno|os error)\W{{1,3}}{errno.EADDRINUSE}\b|\({errno.EADDRINUSE}: "
    rf"|{re.escape(os.strerror(errno.EADDRINUSE))}"
)


class Crash(Struct, frozen=True):
    """A run that exited unexpectedly, when its tree is gone and the plugins have given their advice."""

    exit: Exit
    error: ServerError
    action: Action | None
    record: CrashRecord

    @property
    def hopeless(self) -> bool:
        """Whether a restart cannot help."""
        return self.error.permanent or self.action is Action.GIVE_UP


class Decision(Struct, frozen=True):
    """What follows a crash: backoff and another run, or rest for this `reason`; `done` is no failure."""

    outcome: State
    budget: Budget
    reason: str = ""
    done: bool = False


def blames_its_port(crash: Crash, spec: ServerSpec, budget: Budget) -> bool:
    """Whether it may have failed only for connections that are not over yet and keep its port.

    The next start waits for a fixed port, and takes another one where that is free to choose. Who cannot
    bind it after that has another reason.
    """
    exit_ = crash.exit
    if exit_.ready or exit_.pid is None or crash.hopeless or spec.kind is Kind.TASK or budget.waited:
        return False
    output = f"{exit_.stdout}{exit_.stderr}"  # none, where it goes elsewhere
    return not output.strip() or re.search(_IN_USE, output) is not None


def decide(
    crash: Crash, spec: ServerSpec, budget: Budget, *, command: str, port_lingers: bool, jitter: float
) -> Decision:
    """Decide what follows a crash.

    `command` is the stop or restart that was asked for meanwhile, or "". `port_lingers` tells that only
    connections of a former run keep its port, which takes time and spends no restart.
    """
    if command:
        return Decision(State.STOPPED, budget, command)
    if _is_done(crash.exit, spec):
        return Decision(State.STOPPED, budget, DONE, done=True)

    budget = replace(budget, waited=port_lingers or (budget.waited and not crash.exit.ready))

    if port_lingers:
        return Decision(State.BACKOFF, at_once(budget))
    if refusal := _why_none_can_be(crash, spec, budget):
        return Decision(State.FAILED, budget, refusal)

    return _spend_one(crash, spec.restart, budget, jitter)


def _is_done(exit_: Exit, spec: ServerSpec) -> bool:
    """A worker without a port that ends with 0 has done its work; a server never has."""
    done = exit_.cause is ExitCause.EXITED and exit_.code == 0 and exit_.ready
    return done and spec.port is None and spec.restart.policy is not RestartMode.ALWAYS


def _why_none_can_be(crash: Crash, spec: ServerSpec, budget: Budget) -> str:
    if crash.hopeless:
        awaited = crash.error.context.details.get("needs")
        return f"it waits for {awaited}" if awaited else "a restart cannot help"
    never = spec.restart.policy is RestartMode.NEVER and (budget.was_ready or spec.kind is Kind.TASK)
    return "it is not to be restarted" if never else ""


def _spend_one(crash: Crash, policy: RestartPolicy, budget: Budget, jitter: float) -> Decision:
    now = crash.action is Action.RESTART_NOW

    if budget.was_ready:
        spent = spend(budget, policy, jitter)
        refusal = f"gave up after {budget.used} restarts"
    else:
        left = budget.retries < policy.start_retries
        first = replace(budget, retries=budget.retries + 1, last_delay=policy.initial_delay)
        spent, refusal = first if left else None, "it never became ready"

    if spent is None:
        return Decision(State.FAILED, budget, refusal)

    return Decision(State.BACKOFF, at_once(spent) if now else spent)
