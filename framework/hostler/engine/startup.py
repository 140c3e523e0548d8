"""The state starting: from the requested start to a launch that can be spawned, raced with a stop."""

from __future__ import annotations

from dataclasses import replace

import anyio

from hostler.concurrency.threads import run_in_thread
from hostler.engine.dependencies import wait_for_needed
from hostler.engine.lifecycle_state import LifecycleState
from hostler.engine.run import PreparedRun
from hostler.errors import EnvironmentSetupFailed, InvalidConfiguration, ServerError
from hostler.launching.build import Given, choose_port
from hostler.launching.resolved_inputs import ResolvedInputs, points_elsewhere, resolve_inputs
from hostler.launching.spec_secrets import secrets_of_spec
from hostler.model.spec import environ_of
from hostler.process.disk.lock import NameLock
from hostler.process.shortage_hint import shortage_hint
from hostler.runtime.base_run import Run
from hostler.runtime.certificates import report_unreadable
from hostler.runtime.lingering_port import wait_for_port
from hostler.runtime.recovery import recover, take_lock


class Startup:
    """Prepares one run. `run` is as far as it has come."""

    def __init__(self, life: LifecycleState, run: Run) -> None:
        self.run = run
        self._life = life
        self._server = life.server

    async def prepare(self) -> PreparedRun | ServerError | None:
        """What can be spawned, or why nothing can; None when a stop came first."""
        scope = anyio.CancelScope()

        def end() -> None:
            if self._server.end_asked:  # a stop beats a start that waits or hangs
                scope.cancel()

        # In no task of its own: a restart would wait until the loop has come to that, and back.
        with scope, self.run.mailbox.heard_by(end):
            return None if self._server.end_asked else await self._prepare_or_explain()

        return None

    async def _prepare_or_explain(self) -> PreparedRun | ServerError:
        try:
            return await self._prepare()
        except ServerError as error:
            # A plugin knows what to do about its file, and not that no file can be opened.
            hint = shortage_hint(error.__cause__, error.context.hint)
            error.replace_context(replace(error.context, hint=hint))
            return error
        except Exception as error:  # noqa: BLE001 - what went wrong here must not end the server's life
            return ServerError(f"the start could not be prepared: {error!r}", hint=shortage_hint(error, ""))

    async def _prepare(self) -> PreparedRun:
        life, server, learn = self._life, self._server, self._server.reporter.masker.register

        if server.spec.unset:
            raise InvalidConfiguration(server.spec.unset)

        lock = await self._own_lock()  # before all else: nothing is done beside a run that another one has

        if life.plugins is None:  # else this has been done, for the same spec
            for value in secrets_of_spec(server.spec):
                learn(value)

        plugins = life.build_plugins()
        await self._wait_for_needed()

        for value in (value for other in server.needs.values() for value in other.published_secrets):
            learn(value)  # whatever it is called, it is in our environment, too

        readings = await self._resolve_inputs()
        reuse = not life.take_port_refused()
        await wait_for_port(server.spec, server.context.processes, server.reporter, reuse=reuse)
        # As late as can be: a port that is free now may be taken by the time that others are ready.
        life.promise_port(choose_port(server.spec, server.context, life.last_port))
        given = self._given(readings)
        self.run = run = PreparedRun(self.run, lock, given)
        life.publish(run=run)  # from here on plugins may run commands for it
        await run.edit(server, plugins, given)
        await report_unreadable(run.command_runner(), life.checked_certificates)
        return run

    async def _own_lock(self) -> NameLock:
        """The lock that is held since the last start, or a new one: then we clean up behind who had it."""
        life, context = self._life, self._server.context
        if life.lock is not None and life.lock.held:
            return life.lock

        if life.lock is not None:  # the state directory was deleted under us
            life.lock.release()
            life.hold(None)

        lock = await take_lock(context, self._server.name)
        life.hold(lock)  # before the clean-up: a stop that comes in it releases the lock
        try:
            await recover(lock, context, self._server.reporter, self._server.spec.prepare_timeout)
        except ServerError:
            # The next try cleans up as well, under another lock: a thread may still work under this one.
            lock.release()
            life.hold(None)
            raise
        return lock

    async def _wait_for_needed(self) -> None:
        await wait_for_needed(self._server)
        # With no await in between: these are the runs that were seen to be ready.
        generations = {name: other.generation for name, other in self._server.needs.items()}
        if generations != self._server.status.dependency_generations:
            self._life.publish(dependency_generations=generations)

    async def _resolve_inputs(self) -> ResolvedInputs:
        """Read what the configuration points at, now that all that may write it is ready."""
        server = self._server
        if not points_elsewhere(server.spec):
            return ResolvedInputs()

        readings = None
        environ = environ_of(server.spec, server.context.live_env)
        server.reporter.note_activity("reading its secrets and env_file")

        with anyio.move_on_after(server.spec.prepare_timeout):
            readings = await run_in_thread(resolve_inputs, server.spec, environ, abandon_on_cancel=True)

        if readings is None:
            raise EnvironmentSetupFailed("reading its secrets and env_file took longer than prepare_timeout")

        await self._wait_for_needed()  # once more: one of them may have ended meanwhile
        return readings

    def _given(self, readings: ResolvedInputs) -> Given:
        """What is known now that the needed servers are ready."""
        needs = self._server.needs

        return Given(
            port=self._life.last_port,
            needed={name: other.child_env({}) for name, other in needs.items()},
            others={name: other.endpoint for name, other in needs.items()},
            readings=readings,
        )
