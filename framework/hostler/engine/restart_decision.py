"""After a crash: is there a restart, and when?"""

from __future__ import annotations

import errno
import os
import re
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

import anyio

from hostler.engine.resources import ServerResources
from hostler.engine.restart import Budget, at_once, spend
from hostler.engine.shutdown import Crash
from hostler.events.events import RestartScheduled
from hostler.model.choices import Kind, RestartMode
from hostler.model.states import DONE, State
from hostler.model.values import Action, Exit, ExitCause

# As libraries and runtimes say it; where the language of the system is another one, by its number.
_IN_USE = re.compile(
    rf"address (is )?(already )?in use|EADDRINUSE|AddrInUse|AddressInUse"
    rf"|(errno|os error)\W{{1,3}}{errno.EADDRINUSE}\b|\({errno.EADDRINUSE}: "
    rf"|{re.escape(os.strerror(errno.EADDRINUSE))}",
    re.IGNORECASE,
)


@dataclass(slots=True)
class RestartDecision:
    """The paragraph of the life that is the state backoff, with what one start() has left."""

    resources: ServerResources
    retries_left: int
    was_ready: bool = False
    waited: bool = False

    async def after(self, crash: Crash) -> bool:
        """Decide what follows a crash; True when the next run may begin."""
        server = self.resources.server
        self.was_ready = self.was_ready or crash.exit.ready

        if server.end_asked:
            return self._rest(crash, State.STOPPED, server.desired.what_ends_it)

        if self._is_done(crash.exit):
            server.desired.done()
            return self._rest(crash, State.STOPPED, DONE)

        refusal = "" if self._needs_only_time(crash) else self._why_no_restart(crash)

        if refusal:
            return self._rest(crash, State.FAILED, refusal)

        return await self._back_off(crash)

    def _rest(self, crash: Crash, state: State, decision: str) -> bool:
        self._record(crash, state, decision)
        failed = state is State.FAILED
        reason = f"{decision}: {crash.error.message}" if failed else decision
        self.resources.rest(state, reason=reason, error=crash.error if failed else None)
        return False

    def _record(self, crash: Crash, outcome: State, decision: str, next_try: datetime | None = None) -> None:
        used, allowed = self._spent()
        self.resources.server.note_crash(
            replace(
                crash.record,
                outcome=outcome,
                decision=decision,
                restarts_used=used,
                restarts_allowed=allowed,
                first_start=not self.was_ready,
                next_try=next_try,
            )
        )

    def _spent(self) -> tuple[int, int]:
        """The restarts that are used, and how many there are."""
        server = self.resources.server
        policy = server.spec.restart

        if not self.was_ready:
            return policy.start_retries - self.retries_left, policy.start_retries

        return server.budget.used, policy.max_restarts

    def _is_done(self, exit_: Exit) -> bool:
        """A worker without a port that ends with 0 has done its work; a server never has."""
        spec = self.resources.server.spec
        done = exit_.cause is ExitCause.EXITED and exit_.code == 0 and exit_.ready
        return done and spec.port is None and spec.restart.policy is not RestartMode.ALWAYS

    def _needs_only_time(self, crash: Crash) -> bool:
        """Whether it could not bind its port for connections that are not over: that spends no restart.

        The next start waits for a fixed port, and takes another one where that is free to choose. Who cannot
        bind it after that has another reason.
        """
        resources, exit_ = self.resources, crash.exit
        port, spec = resources.last_port, resources.server.spec
        self.waited = self.waited and not exit_.ready
        hopeless = crash.error.permanent or crash.action is Action.GIVE_UP or spec.kind is Kind.TASK

        if port is None or exit_.ready or exit_.pid is None or hopeless or self.waited:
            return False

        output = f"{exit_.stdout}{exit_.stderr}"  # none, where it goes elsewhere

        if output.strip() and not _IN_USE.search(output):
            return False

        if not resources.server.context.processes.needs_only_time(spec.host, port, reuse=False):
            return False

        self.waited = resources.port_refused = True
        resources.last_port = None
        resources.server.budget = at_once(resources.server.budget)
        return True

    def _why_no_restart(self, crash: Crash) -> str:
        """Empty when a restart was taken out of the budget, else why there is none."""
        server, policy = self.resources.server, self.resources.server.spec.restart

        if crash.error.permanent or crash.action is Action.GIVE_UP:
            awaited = crash.error.context.details.get("needs")
            return f"it waits for {awaited}" if awaited else "a restart cannot help"

        if policy.policy is RestartMode.NEVER and (self.was_ready or server.spec.kind is Kind.TASK):
            return "it is not to be restarted"

        if not self.was_ready:
            if self.retries_left <= 0:
                return "it never became ready"

            self.retries_left -= 1
            delay = 0.0 if crash.action is Action.RESTART_NOW else policy.initial_delay
            server.budget = Budget(server.budget.used, delay)
            return ""

        spent = spend(server.budget, policy, server.context.jitter())

        if spent is None:
            return f"gave up after {server.budget.used} restarts"

        server.budget = at_once(spent) if crash.action is Action.RESTART_NOW else spent
        return ""

    async def _back_off(self, crash: Crash) -> bool:
        server, delay = self.resources.server, self.resources.server.budget.last_delay
        used, allowed = self._spent()
        server.restarts += 1
        self._record(crash, State.BACKOFF, "", datetime.now(UTC) + timedelta(seconds=delay))
        server.enter(State.BACKOFF, reason=crash.error.message, error=crash.error)
        server.reporter.say(
            RestartScheduled(
                server=server.name,
                generation=server.generation,
                used=used,
                allowed=allowed,
                delay=delay,
                first_start=not self.was_ready,
            )
        )

        if delay > 0:
            with anyio.move_on_after(delay):
                await server.until(lambda: server.end_asked or server.desired.start_asked)

        if server.end_asked:
            self.resources.rest(State.STOPPED, reason=server.desired.what_ends_it)
            return False

        return True
