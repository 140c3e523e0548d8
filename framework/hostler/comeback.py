"""After a crash: is there a restart, and when?"""

from __future__ import annotations

from dataclasses import dataclass

import anyio

from hostler.events import RestartScheduled
from hostler.leaving import Crash
from hostler.means import Means
from hostler.model import Action, Exit, ExitCause, RestartMode
from hostler.restart import Budget, at_once, spend
from hostler.server import Wanted
from hostler.states import State


@dataclass(slots=True)
class Comeback:
    """The paragraph of the life that is the state backoff, with what one start() has left."""

    means: Means
    retries_left: int
    was_ready: bool = False

    async def after(self, crash: Crash) -> bool:
        """Decide what follows a crash; True when the next run may begin."""
        server, means = self.means.server, self.means
        self.was_ready = self.was_ready or crash.exit.ready

        if server.end_asked:
            means.rest(State.STOPPED, reason="stop asked for")
            return False

        if self._is_done(crash.exit):
            if not server.start_asked.is_set():
                server.wanted = Wanted.DOWN

            means.rest(State.STOPPED, reason="it has done its work")
            return False

        refusal = self._why_no_restart(crash)

        if refusal:
            means.rest(State.FAILED, reason=refusal, error=crash.error)
            return False

        return await self._back_off(crash)

    def _is_done(self, exit_: Exit) -> bool:
        """A worker without a port that ends with 0 has done its work; a server never has."""
        spec = self.means.server.spec
        done = exit_.cause is ExitCause.EXITED and exit_.code == 0 and exit_.ready
        return done and spec.port is None and spec.restart.policy is not RestartMode.ALWAYS

    def _why_no_restart(self, crash: Crash) -> str:
        """Empty when a restart was taken out of the budget, else why there is none."""
        server, policy = self.means.server, self.means.server.spec.restart

        if crash.error.permanent or crash.action is Action.GIVE_UP:
            return f"a restart cannot help: {crash.error.message}"

        if not self.was_ready:
            if self.retries_left <= 0:
                return f"it never became ready: {crash.error.message}"

            self.retries_left -= 1
            delay = 0.0 if crash.action is Action.RESTART_NOW else policy.initial_delay
            server.budget = Budget(server.budget.used, delay)
            return ""

        if policy.policy is RestartMode.NEVER:
            return f"it is not to be restarted: {crash.error.message}"

        spent = spend(server.budget, policy, server.around.chance())

        if spent is None:
            return f"gave up after {server.budget.used} restarts: {crash.error.message}"

        server.budget = at_once(spent) if crash.action is Action.RESTART_NOW else spent
        return ""

    async def _back_off(self, crash: Crash) -> bool:
        server, delay = self.means.server, self.means.server.budget.last_delay
        first = not self.was_ready
        allowed = server.spec.restart.start_retries if first else server.spec.restart.max_restarts
        used = allowed - self.retries_left if first else server.budget.used
        server.restarts += 1
        server.enter(State.BACKOFF, reason=crash.error.message, error=crash.error)
        server.voice.say(
            RestartScheduled(
                server=server.name,
                generation=server.generation,
                used=used,
                allowed=allowed,
                delay=delay,
            )
        )

        if delay > 0:
            with anyio.move_on_after(delay):
                await server.until(lambda: server.end_asked or server.start_asked.is_set())

        if server.end_asked:
            self.means.rest(State.STOPPED, reason="stop asked for")
            return False

        return True
