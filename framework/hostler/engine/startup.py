"""Starting: from the wish to a spawned process, raced with a stop."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from functools import partial

import anyio

from hostler.concurrency.threads import run_in_thread
from hostler.engine.dependencies import wait_for_needed
from hostler.engine.lifecycle_state import LifecycleState
from hostler.engine.run import PreparedRun, Run
from hostler.engine.run_events import Prepared
from hostler.errors import EnvironmentSetupFailed, InvalidConfiguration, ServerError
from hostler.launching.build import Given, choose_port
from hostler.launching.resolved_inputs import ResolvedInputs, points_elsewhere, resolve_inputs
from hostler.launching.spec_secrets import secrets_of_spec
from hostler.process.disk.lock import RETRY_INTERVAL, NameLock
from hostler.process.disk.run_record import kill_recorded
from hostler.runtime.certificates import tell_unreadable

# TIME_WAIT takes a minute on Linux.
_LONGEST_LEFTOVER = 65.0
_LEFTOVER_PAUSE = 0.25


@dataclass(slots=True)
class Startup:
    """The paragraph of the life that is the state starting; `run` is as far as it has come."""

    life: LifecycleState
    run: Run

    async def prepare(self) -> PreparedRun | ServerError | None:
        """What can be spawned, or why nothing can; None when a stop came first."""
        work = asyncio.create_task(self._prepare_and_tell(), name=f"start of {self.life.server.name}")
        try:
            while not self.life.server.end_asked:  # a stop beats a start that waits or hangs
                if isinstance(await self.run.inbox.take(), Prepared):
                    return await work
        finally:
            work.cancel()
            await asyncio.wait({work})  # what it has begun is closed by the caller: it must have ended

        return None

    async def _prepare_and_tell(self) -> PreparedRun | ServerError:
        try:
            return await self._prepare()
        except ServerError as error:
            return error
        except Exception as error:  # noqa: BLE001 - what went wrong here must not end the server's life
            return ServerError(f"the start could not be prepared: {error!r}")
        finally:
            self.run.inbox.post(Prepared())

    async def _prepare(self) -> PreparedRun:
        life, server = self.life, self.life.server
        context = server.context

        if server.spec.unset:
            raise InvalidConfiguration(server.spec.unset)

        lock = await self._own_lock()  # before all else: nothing is done beside a run that another one has

        for value in secrets_of_spec(server.spec):
            server.reporter.masker.register(value)

        plugins = life.build_plugins()
        await wait_for_needed(server)

        for value in (value for other in server.needs.values() for value in other.published_secrets):
            server.reporter.masker.register(value)  # whatever it is called, it is in our environment, too

        readings = await self._readings()
        await self._wait_for_port()
        # As late as can be: a port that is free now may be taken by the time that others are ready.
        life.promise_port(choose_port(server.spec, context, life.last_port))
        given = self._given(readings)
        self.run = run = PreparedRun.build(self.run, lock, given)
        life.show_run(run)  # from here on plugins may run commands for it
        await run.edit(server, plugins, given)
        await tell_unreadable(run.command_runner(), life.seen_certificates)
        return run

    async def _wait_for_port(self) -> None:
        """A port that only connections of a former run still have needs nothing but time."""
        server, reuse = self.life.server, not self.life.take_port_refused()
        host, port = server.spec.host, server.spec.port
        if not port or not 1 <= port <= 65535:
            return

        blocked = partial(server.context.processes.needs_only_time, host, port, reuse=reuse)
        if not blocked():
            return

        text = (
            f"port {port} on {host} is kept by connections of a former run that are not over yet (TIME_WAIT)"
        )
        text += f"; it is waited for, up to {_LONGEST_LEFTOVER:g} s"
        server.reporter.note_activity(text)
        server.reporter.notice("port_not_free_yet", text, details={"host": host, "port": port})

        with anyio.move_on_after(_LONGEST_LEFTOVER):
            while blocked():  # noqa: ASYNC110 - nobody tells when the system forgets a connection
                await anyio.sleep(_LEFTOVER_PAUSE)

    async def _readings(self) -> ResolvedInputs:
        """Read what the configuration points at, now that all that may write it is ready."""
        server = self.life.server
        if not points_elsewhere(server.spec):
            return ResolvedInputs()

        readings = None
        server.reporter.note_activity("reading its secrets and env_file")

        with anyio.move_on_after(server.spec.prepare_timeout):
            readings = await run_in_thread(
                resolve_inputs, server.spec, server.context.live_env, abandon_on_cancel=True
            )

        if readings is None:
            raise EnvironmentSetupFailed("reading its secrets and env_file took longer than prepare_timeout")

        await wait_for_needed(server)  # once more: one of them may have ended meanwhile
        return readings

    def _given(self, readings: ResolvedInputs) -> Given:
        """What is known now that the needed servers are ready."""
        needs = self.life.server.needs

        return Given(
            port=self.life.last_port,
            needed={name: other.child_env({}) for name, other in needs.items()},
            others={name: other.endpoint for name, other in needs.items()},
            readings=readings,
        )

    async def _own_lock(self) -> NameLock:
        """The lock that is held since the last start, or a new one: then we clean up behind who had it."""
        life, lock = self.life, self.life.lock
        if lock is not None and lock.held:
            return lock

        if lock is not None:  # the state directory was deleted under us
            lock.release()
            life.hold(None)

        lock = await self._take_lock()
        life.hold(lock)
        await self._recover(lock)
        return lock

    async def _take_lock(self) -> NameLock:
        server, context = self.life.server, self.life.server.context
        attempts = NameLock.attempts(context.directories, context.namespace, server.name)
        while (lock := next(attempts)) is None:  # noqa: ASYNC110 - nobody tells when a file is unlocked
            await anyio.sleep(RETRY_INTERVAL)
        return lock

    async def _recover(self, lock: NameLock) -> None:
        store = self.life.server.context.store
        if store.is_clean(lock):
            return

        recovered = None
        self.life.server.reporter.note_activity("cleaning up behind a former hostler that was killed")

        with anyio.move_on_after(self.life.server.spec.prepare_timeout):
            recovered = await run_in_thread(store.recover, lock, kill_recorded, abandon_on_cancel=True)

        if recovered is None:
            raise EnvironmentSetupFailed(
                "cleaning up behind a former hostler that was killed took longer than prepare_timeout",
                hint="its temporary files are on a disk that hangs, perhaps",
            )

        if recovered.pids_killed:
            pids = ", ".join(map(str, recovered.pids_killed))
            text = f"a former hostler was killed and left processes behind; they are gone now: {pids}"
            self.life.server.reporter.notice(
                "orphans_removed", text, "warning", {"pids": list(recovered.pids_killed)}
            )

        if recovered.problem:
            self.life.server.reporter.notice("record_unusable", recovered.problem, "warning")
