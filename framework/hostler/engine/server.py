"""One server: the commands that it accepts. It reads the published status and writes the desired state."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Literal, Self

import anyio

from hostler.concurrency.flag import Flag
from hostler.engine.server_conditions import ServerConditions
from hostler.errors import ServerError
from hostler.events.events import Event
from hostler.model.choices import Kind
from hostler.model.spec import ServerSpec
from hostler.model.states import State
from hostler.process.context import SupervisorContext
from hostler.runtime.base_run import RunSignal
from hostler.runtime.diagnosis import already_running, not_in_time, not_supervised
from hostler.runtime.quiet_moment import QuietRestart, can_tell, check_moment, wait_idle
from hostler.runtime.server_status import ServerStatus

_COMING_UP = frozenset({State.STARTING, State.WAITING_READY})


class SupervisedServer(ServerConditions):
    """One server of a supervisor. Its methods are used on the event loop's thread."""

    def __init__(
        self,
        spec: ServerSpec,
        context: SupervisorContext,
        needs: Mapping[str, SupervisedServer],
        listener: Callable[[Event], None],
    ) -> None:
        super().__init__(spec, context, listener)
        self.needs = needs
        self.dependents: dict[SupervisedServer, Callable[[], None]] = {}
        self._changed = Flag()
        self._quiet_restart = QuietRestart()

    def __repr__(self) -> str:
        pid = None if self.pid is None else f"pid {self.pid}"
        known = (self.name, self.state.value, self.url, pid)
        return self.reporter.masker.text(f"<Server {' '.join(filter(None, known))}>")

    # -- commands that wait -------------------------------------------------------------------

    async def start(self) -> None:
        """Ask for the server to be up and wait until its process has been spawned.

        Raises ProcessAlreadyRunning when it runs, and what made it fail when it could not start.
        A stop that is asked for meanwhile wins, and ends the wait.
        """
        self.context.affinity.check()
        if self.state is State.RUNNING and not self.end_asked:
            raise already_running(self)
        under_way = self.state in _COMING_UP and not self.end_asked
        self.ask_up()
        await self._until_spawned(after=self.generation - under_way)

    async def stop(self, *, force: bool = False) -> None:
        """Ask for the server to be down and wait until nothing of it is left; `force` skips the grace period.

        Raises ForceKillTimeout, with the pids, when something outlives SIGKILL, and ServerError when hostler
        itself failed in the stop.
        """
        await self.take_down(force=force)

    async def take_down(self, *, force: bool = False, until_reloaded: bool = False) -> None:
        """As `stop`; with `until_reloaded` a reload starts it again, unless a later command differs."""
        stopped = self.stop_condition()  # before the request: a start that follows must not hide this stop
        self.ask_down(until_reloaded=until_reloaded)
        if force and self.run is not None:
            self.run.forced.set()
        await self.until(stopped)
        if self.status.unkillable is not None:
            raise self.status.unkillable

    async def force_stop(self) -> None:
        """Stop with SIGKILL at once; otherwise as `stop`."""
        await self.stop(force=True)

    async def restart(
        self,
        *,
        generation: int | None = None,
        when: Literal["now", "idle"] = "now",
        within: float | str = 600.0,
    ) -> None:
        """Stop and start it again, and wait until the new process has been spawned.

        Restarts that are asked for while one is under way are one. With `generation`, the command is
        for that run only: when another one is there already, nothing happens. With `when="idle"` a
        running server is restarted when nothing runs on it and on those that restart with it, as their
        plugins tell, unless its run ends before; RestartNotIdle, and it is left alone, when that is not so
        `within` (seconds, or "10m").
        """
        check_moment(when)
        if when == "idle" and self.usable:
            generation = self.generation if generation is None else generation
            await wait_idle(self, [self, *self.followers], within)
            if self.end_asked:
                return
        if generation is not None and generation != self.generation:
            return
        if self.state not in {State.WAITING_READY, State.RUNNING}:
            await self.start()
            return
        self.ask_up()
        self.desired.restart(self.generation)
        await self._until_spawned(after=self.generation)

    async def wait_ready(self, timeout: float | None = None) -> None:
        """Wait until the server may be used; a task, until it runs or has completed.

        Raises what made it fail when it gave up, ServerError when it is stopped, and StartupTimeout
        after `timeout` seconds.
        """

        def ready() -> bool:
            dying = self.pid is not None and self.context.processes.is_dying(self.pid)
            return self.completed or (self.usable and not dying)

        await self._wait(ready, "ready", timeout)

    async def ensure(self, timeout: float | None = None) -> Self:
        """Start it unless it is up, coming up or completed, wait as `wait_ready` does, and return it.

        A restart that is due after a crash is waited for, with its delay. Errors as in `wait_ready`.
        """
        if not self.completed and (not self.desired.is_up or self.is_settled()):
            self.ask_up()
        await self.wait_ready(timeout)
        return self

    async def wait_for(self, state: State, timeout: float | None = None) -> None:
        """Wait until it is in this state; `events()` also tells of one that it only passes through.

        Errors as in `wait_ready`, as soon as it is at rest in another state.
        """
        state = State(state)  # "running" is the same for who has no type checker
        await self._wait(lambda: self.state is state, state.value, timeout)

    async def wait_completed(self, timeout: float | None = None) -> None:
        """Wait until the task has ended with exit code 0; errors as in `wait_ready`.

        Raises ServerError for a server: it never completes.
        """
        if self.spec.kind is not Kind.TASK:
            raise ServerError(
                "it never completes, because it is not a task", server=self.name, hint="use wait_stopped()"
            )
        await self._wait(lambda: self.completed, "completed", timeout)

    async def _wait(self, condition: Callable[[], bool], what: str, timeout: float | None) -> None:
        self.context.affinity.check()
        with anyio.move_on_after(timeout):
            while not condition():
                if self.is_settled():
                    raise self._why_settled()
                await self.changed()
            return
        raise not_in_time(self, what, timeout or 0.0)

    def _why_settled(self) -> ServerError:
        if self.state is State.FAILED and self.error is not None:
            return self.error
        if not self.desired.accepts_commands:
            return not_supervised(self)
        reason = self.desired.stop_reason
        why = f"it is stopped: {reason}" if reason else "it is stopped"
        return ServerError(why, server=self.name, hint="call start() first")

    async def wait_stopped(self) -> None:
        """Wait until the server is stopped or failed, and nobody has asked for it to be up."""
        await self.until(self.is_settled)

    async def _until_spawned(self, *, after: int) -> None:
        """Wait for the spawn of a later run than `after`, or a stop; raises what made it fail."""

        def gave_up() -> bool:
            return self.state is State.FAILED and self.generation > after

        await self.until(
            lambda: self.status.spawned_generation > after or gave_up() or not self.desired.is_up
        )
        if gave_up() and self.error is not None:
            raise self.error

    # -- commands that do not wait ------------------------------------------------------------

    def ask_up(self, *, planned: bool | None = None) -> None:
        """Want it up, and what it needs. Raises ServerError where no supervisor would see to it."""
        self.context.affinity.check()
        if not self.desired.accepts_commands:
            raise not_supervised(self)

        self.desired.up(starts=self.state not in {*_COMING_UP, State.RUNNING}, planned=planned)

        for other in self.needs.values():
            if not other.completed and (not other.desired.is_up or other.is_settled()):
                other.ask_up()

        self._notify()

    def ask_down(self, stop_reason: str = "", *, until_reloaded: bool = False) -> None:
        """Want it down; this run ends, even if it is wanted up again at once."""
        self.context.affinity.check()
        self.desired.down(self.generation, stop_reason, until_reloaded=until_reloaded)
        if self.state.at_rest:
            self.plugin_tasks.end()
        self._notify()

    def ask_again(self, stop_reason: str = "") -> None:
        """Have this run end and another one begin."""
        self.desired.restart(self.generation, stop_reason)
        self._notify()

    def ask_restart(self, reason: str, *, when: Literal["now", "planned"] = "now") -> None:
        """Fulfil a plugin's request for a restart; a stop that is asked for wins."""
        revives = self.is_revivable and not self.desired.start_requested
        if not revives and (not self.state.has_begun or self.end_asked):
            return
        waits = when == "planned" and self.spec.restart.wait_idle > 0 and self.usable
        if waits and self._quiet_restart.waits_for == self.generation:
            return  # it takes this in too
        self.notice("restart_asked", f"restart requested: {reason}")
        if waits:
            work = self._quiet_restart.run(self, self.followers, self.ask_again)
            self.plugin_tasks.start(work, "", self.wake)
        else:
            self.ask_up(planned=True) if revives else self.ask_again()

    def _notify(self) -> None:
        if self.run is not None:
            self.run.mailbox.post(RunSignal.COMMAND_RECEIVED)
        self.wake()

    # -- other servers ------------------------------------------------------------------------

    @property
    def followers(self) -> Sequence[SupervisedServer]:
        """Those that restart or stop when it restarts, now, and whose plugins can tell what runs on them."""
        found: list[SupervisedServer] = [self]
        for server in found:  # grows meanwhile
            found += [other for other in server.dependents if other not in found]
        return [other for other in found[1:] if can_tell(other)]

    @property
    def awaited(self) -> Sequence[SupervisedServer]:
        """The servers that its start waits for."""
        needed = ((self.needs[need.server], need.condition) for need in self.spec.needed)
        return [other for other, condition in needed if not other.meets(condition)]

    # -- changes ------------------------------------------------------------------------------

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait until `condition` holds, which it does when this returns.

        It is looked at once after all changes of one turn of the event loop; `events()` also tells of a state
        that the server only passes through.
        """
        self.context.affinity.check()
        while not condition():
            await self._changed.wait()

    async def changed(self) -> None:
        """Wait for the next change."""
        self.context.affinity.check()
        await self._changed.wait()

    def wake(self) -> None:
        """Let everybody who waits look again."""
        changed, self._changed = self._changed, Flag()
        changed.set()
        for look in tuple(self.dependents.values()):
            look()

    def _publish_status(self, status: ServerStatus) -> None:
        self.status = status
        launch = None if status.run is None else status.run.launch
        self.context.claims.note(self.name, status.promised_port, launch)

    def _reconfigure(self, spec: ServerSpec, needs: Mapping[str, SupervisedServer]) -> None:
        self._unfollow_needed()
        self.spec, self.needs = spec, needs
        self.published.clear()  # by plugins that may be gone

    def _dismiss(self) -> None:
        self.desired.accept_commands(False)
        self._unfollow_needed()
        self.reporter.close()

    def _unfollow_needed(self) -> None:
        for other in self.needs.values():
            other.dependents.pop(self, None)
