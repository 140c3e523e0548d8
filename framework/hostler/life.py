"""The life of a server: one straight-line coroutine whose paragraphs are the states."""

from __future__ import annotations

import logging
import time
from contextlib import suppress
from dataclasses import dataclass, field

import anyio
import anyio.to_thread

from hostler.errors import ForceKillTimeout, ServerCrashed, ServerError
from hostler.events import EndpointFound, Exited, HealthReported, PluginFailed, RestartScheduled, Spawned
from hostler.health import HealthWatch, PluginHealth
from hostler.launching import choose_port
from hostler.model import Action, Advice, Exit, ExitCause, Healthy, Line, RestartMode, Unhealthy
from hostler.plugins import Failure, PluginSet
from hostler.process.locks import NameLock
from hostler.process.records import kill_recorded
from hostler.readiness import why_not_ready
from hostler.restart import Budget, after_running, at_once, spend
from hostler.run import Asked, Broken, Ended, Found, Happening, HealthNews, Prepared, Run
from hostler.server import Server, Wanted
from hostler.states import State

_LAST_TRY_SECONDS = 5.0
_STRENGTH = tuple(Action)


@dataclass(frozen=True, slots=True)
class Ending:
    """Why a run is to end. `error` is None when only its exit can tell."""

    cause: ExitCause
    reason: str = ""
    error: ServerError | None = None
    unhealthy: Unhealthy | None = None


@dataclass(frozen=True, slots=True)
class Crash:
    """A run that ended unasked, when its tree is gone and the plugins have been heard."""

    exit: Exit
    error: ServerError
    action: Action | None


@dataclass(slots=True)
class Life:
    """Drives one server from rest to rest, for as long as `live` is not cancelled."""

    server: Server
    _plugins: PluginSet | None = None
    _lock: NameLock | None = None
    _last_port: int | None = None
    _retries_left: int = 0
    _ready_since_start: int = field(default=0)  # how many runs of this start became ready

    async def live(self) -> None:
        """At rest, kept up, at rest, and so on."""
        while True:
            await self.server.start_asked.wait()
            self.server.start_asked = anyio.Event()

            if self.server.wanted is Wanted.UP:
                await self._keep_up()

    async def _keep_up(self) -> None:
        server = self.server
        server.budget, self._ready_since_start = Budget(), 0
        self._retries_left = server.spec.restart.start_retries

        while server.wanted is Wanted.UP:
            crash = await self._run_once()

            if crash is None:
                server.budget = Budget()
            elif not await self._restart_after(crash):
                return

    # -- one run ------------------------------------------------------------------------------

    async def _run_once(self) -> Crash | None:
        server = self.server
        server.generation += 1
        server.voice.generation = server.generation
        server.start_asked = anyio.Event()
        run = server.run = Run(server.spec, server.around, server.voice, server.generation)
        server.enter(State.STARTING)

        try:
            return await self._through(run)
        except Exception as error:  # noqa: BLE001 - a mistake of ours must leave no process and no silence
            await self._collapse(run, error)
            return None
        except BaseException:
            run.kill_now()
            self._let_go()
            raise

    async def _collapse(self, run: Run, error: Exception) -> None:
        server = self.server
        failure = server.voice.own(
            ServerError(f"hostler itself failed: {error!r}", hint="please report this")
        )
        logging.getLogger("hostler").error("%s: %s", server.name, failure.message, exc_info=error)
        server.wanted = Wanted.DOWN

        with suppress(Exception):
            run.kill_now()

        with suppress(Exception):
            await run.close()

        if server.state is State.STOPPING:
            self._rest(State.STOPPED, reason=failure.message, error=failure)
            return

        if server.state is not State.CRASHED:
            server.enter(State.CRASHED, reason=failure.message, error=failure)

        self._rest(State.FAILED, reason=failure.message, error=failure)

    async def _through(self, run: Run) -> Crash | None:
        server = self.server
        happening = await self._prepared(run)

        if happening.error is None and server.wanted is Wanted.DOWN:
            await run.close()
            self._rest(State.STOPPED, reason="stopped while starting")
            return None

        error = happening.error or self._spawn(run)

        if error is not None:
            return await self._crashed(run, Ending(ExitCause.SPAWN_FAILED, error.message, error))

        server.spawned_generation = server.generation
        server.enter(State.WAITING_READY)
        self._begin_watching(run)
        ending = await self._watch(run)

        if ending.cause is not ExitCause.STOPPED:
            return await self._crashed(run, ending)

        await self._stop(run, ending)
        return None

    # starting: raced with a stop

    async def _prepared(self, run: Run) -> Prepared:
        outcome = Prepared()

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._prepare_and_tell, run)

            while self.server.wanted is Wanted.UP:
                happening = await run.inbox.take()

                if isinstance(happening, Prepared):
                    outcome = happening
                    break

            tasks.cancel_scope.cancel()

        return outcome

    async def _prepare_and_tell(self, run: Run) -> None:
        try:
            await self._prepare(run)
        except ServerError as error:
            run.inbox.post(Prepared(error))
        except Exception as error:  # noqa: BLE001 - what went wrong here must not end the server's life
            run.inbox.post(Prepared(ServerError(f"the start could not be prepared: {error!r}")))
        else:
            run.inbox.post(Prepared())

    async def _prepare(self, run: Run) -> None:
        server, around = self.server, self.server.around

        if self._lock is None:
            self._lock = NameLock.take(around.directories, around.namespace, server.name)
            await self._recover(self._lock)

        if self._plugins is None:
            self._plugins = PluginSet.build(server.spec.plugins, on_failure=self._tell_failure)

        needed = await server.needed_env()
        self._last_port = choose_port(server.spec, around, self._last_port)
        server.promised_port = self._last_port
        await run.prepare(server, self._plugins, self._lock, self._last_port, needed)

    async def _recover(self, lock: NameLock) -> None:
        store = self.server.around.store
        recovered = await anyio.to_thread.run_sync(store.recover, lock, kill_recorded)

        if recovered.pids_killed:
            pids = ", ".join(map(str, recovered.pids_killed))
            text = f"a former hostler was killed and left processes behind; they are gone now: {pids}"
            self.server.voice.notice(
                "orphans_removed", text, "warning", {"pids": list(recovered.pids_killed)}
            )

        if recovered.problem:
            self.server.voice.notice("record_unusable", recovered.problem, "warning")

    def _spawn(self, run: Run) -> ServerError | None:
        try:
            run.spawn(lambda line: self._on_line(run, line))
        except ServerError as error:
            return error
        except Exception as error:  # noqa: BLE001 - as above
            return ServerError(f"the process could not be started: {error!r}")

        return None

    # waiting for ready, running

    def _begin_watching(self, run: Run) -> None:
        assert run.process is not None
        assert run.launch is not None
        assert self._plugins is not None
        server = self.server
        server.voice.say(
            Spawned(
                server=server.name,
                generation=run.generation,
                pid=run.process.pid,
                argv=run.argv(),
                cwd=str(run.launch.cwd),
                env={name: server.voice.masker.text(value) for name, value in sorted(run.launch.env.items())},
            )
        )

        if run.process.missing_tools:
            names = ", ".join(run.process.missing_tools)
            server.voice.notice("tool_missing", f"not found, so gone on without: {names}", "warning")

        run.watch(announced=self._plugins.has("parse_port") and bool(run.captured))

        if run.launch.port is None:
            self._watch_health(run)

    def _on_line(self, run: Run, line: Line) -> None:
        if run.search is not None and run.endpoint is None and self._plugins is not None:
            answer = self._plugins.parse_port(self.server, line.text, line.stream)

            if answer is not None:
                run.search.offer(answer[1], answer[0])

        self.server.voice.lines.publish(line)

    async def _watch(self, run: Run) -> Ending:
        """Take word after word until one ends the run."""
        limit = self.server.spec.startup_timeout
        deadline = anyio.current_time() + limit - run.uptime

        while True:
            happening = await run.inbox.take(deadline if run.ready_at is None else None)

            if happening is None:
                return Ending(ExitCause.STARTUP_TIMEOUT, f"not ready after {limit:g} s", why_not_ready(run))

            ending = self._consider(run, happening)

            if ending is not None:
                return ending

    def _consider(self, run: Run, happening: Happening) -> Ending | None:
        match happening:
            case Ended():
                return Ending(ExitCause.EXITED)
            case Broken(error):
                return Ending(ExitCause.UNHEALTHY, error.message, error)
            case Found():
                self._found(run, happening)
            case HealthNews(health):
                return self._health_news(run, health)
            case Asked() if self.server.wanted is Wanted.DOWN:
                return Ending(ExitCause.STOPPED, "stop asked for")
            case Asked() if self.server.restart_asked_of == run.generation:
                return Ending(ExitCause.STOPPED, "restart asked for")

        return None

    def _found(self, run: Run, found: Found) -> None:
        server, confirmed = self.server, found.confirmed
        run.confirm(confirmed)
        server.voice.say(
            EndpointFound(
                server=server.name,
                generation=run.generation,
                endpoint=confirmed.endpoint,
                source=confirmed.source,
            )
        )

        if confirmed.doubt:
            server.voice.notice("identity_unknown", confirmed.doubt, "warning")

        self._watch_health(run)

    def _watch_health(self, run: Run) -> None:
        plugins, server = self._plugins, self.server
        assert plugins is not None

        health = HealthWatch(
            plugins.health_openers(server, run.endpoint),
            on_news=lambda news: run.inbox.post(HealthNews(news)),
        )
        run.watch_health(health)

        if not health.plugins:
            self._ready(run)

    def _health_news(self, run: Run, news: PluginHealth) -> Ending | None:
        assert run.health is not None
        run.health.take(news)
        self._tell_health(run, news)
        self.server.wake()
        report, limit = news.last, self.server.spec.max_connection_failures

        if isinstance(report, Unhealthy):
            lost = run.ready_at is not None and news.failures >= limit

            if report.permanent or report.fatal or lost:
                reason = f"{news.name}: {report.reason}"
                reason += f" ({news.failures} times in a row)" if lost else ""
                return Ending(ExitCause.UNHEALTHY, reason, self._lost(report, reason), report)

        if run.ready_at is None and run.health.healthy:
            self._ready(run)

        return None

    def _lost(self, report: Unhealthy, reason: str) -> ServerError:
        error = report.error or ServerCrashed(
            f"it is up, but not healthy: {reason}", hint="look at its log, and at what the plugin asks for"
        )

        if report.permanent:
            error.permanent = True

        return error

    def _tell_health(self, run: Run, news: PluginHealth) -> None:
        if news.fault and self._plugins is not None:
            self._plugins.health_failed(news.name, news.fault)

        if news.told:
            server = self.server
            report = news.last
            server.voice.say(
                HealthReported(
                    server=server.name,
                    generation=run.generation,
                    plugin=news.name,
                    healthy=None if report is None else isinstance(report, Healthy),
                    reason=server.voice.masker.text(news.reason),
                    failures=news.failures,
                    report=report,
                )
            )

    def _ready(self, run: Run) -> None:
        assert self._plugins is not None
        run.ready_at = time.monotonic()
        self._ready_since_start += 1
        self.server.enter(State.RUNNING, seconds=run.uptime)
        run.background.start(self._plugins.on_ready(self.server, run.endpoint), "on_ready")

    # stopping

    async def _stop(self, run: Run, ending: Ending) -> None:
        server = self.server
        server.enter(State.STOPPING, reason=ending.reason)
        await run.close_health()

        if self._plugins is not None:
            await run.unless_cut_short(self._plugins.on_shutdown(server, ending.reason))

        await self._empty_tree(run)
        self._tell_exit(run.exit(ExitCause.STOPPED), run)
        await run.close()
        self._rest(State.STOPPED)

    async def _empty_tree(self, run: Run) -> None:
        """Stop the tree; "stopped" is not said before it is empty."""
        server = self.server
        left = await run.stop_tree(server.spec.force_kill_timeout)

        while left:
            pids = ", ".join(map(str, left))
            server.stuck = ForceKillTimeout(
                f"processes outlive SIGKILL: {pids}",
                server=server.name,
                hint="they hang in the kernel (a dead disk or mount, mostly); see ps -o pid,stat,wchan",
                details={"pids": list(left)},
            )
            server.voice.notice("still_alive", str(server.stuck), "warning", {"pids": list(left)})
            server.wake()
            left = await run.stop_tree(_LAST_TRY_SECONDS)

        server.stuck = None

    # crashed

    async def _crashed(self, run: Run, ending: Ending) -> Crash:
        server = self.server
        reason = ending.reason or run.exit(ending.cause).description
        server.enter(State.CRASHED, reason=reason, error=ending.error)
        await run.close_health()
        await self._empty_tree(run)
        exit_ = run.exit(ending.cause, ending.error or self._died(run), ending.unhealthy)
        self._tell_exit(exit_, run)
        advice = [] if self._plugins is None else await self._plugins.on_crash(server, exit_)
        await run.close()
        server.run = None
        return self._judge(exit_, [word for _, word in advice], run)

    def _died(self, run: Run) -> ServerError:
        when = "while it ran" if run.ready_at is not None else "before it was ready"
        how = run.exit(ExitCause.EXITED).description
        return ServerCrashed(
            f"it ended unasked {when}: {how} after {run.uptime:.1f} s",
            hint="see its last lines, and its log file where log-rotation is on",
        )

    def _judge(self, exit_: Exit, advice: list[Advice], run: Run) -> Crash:
        advice = sorted(advice, key=lambda word: _STRENGTH.index(word.action))
        own = next((word.error for word in reversed(advice) if word.error is not None), None)
        error = exit_.error or ServerError("it failed")

        if own is not None:
            error = self.server.voice.own(own, stdout=exit_.stdout, stderr=exit_.stderr)

        if run.ready_at is not None:
            seconds = run.ready_for
            self.server.budget = after_running(self.server.budget, self.server.spec.restart, seconds)

        return Crash(exit_, error, advice[-1].action if advice else None)

    async def _restart_after(self, crash: Crash) -> bool:
        """Decide what follows a crash; True when the next run may begin."""
        server = self.server

        if server.wanted is Wanted.DOWN:
            self._rest(State.STOPPED, reason="stop asked for")
            return False

        if self._is_done(crash.exit):
            server.wanted = Wanted.DOWN
            self._rest(State.STOPPED, reason="it has done its work")
            return False

        refusal = self._why_no_restart(crash)

        if refusal:
            self._rest(State.FAILED, reason=refusal, error=crash.error)
            return False

        return await self._back_off(crash)

    def _is_done(self, exit_: Exit) -> bool:
        """A worker without a port that ends with 0 has done its work; a server never has."""
        spec = self.server.spec
        done = exit_.cause is ExitCause.EXITED and exit_.code == 0 and exit_.ready
        return done and spec.port is None and spec.restart.policy is not RestartMode.ALWAYS

    def _why_no_restart(self, crash: Crash) -> str:
        """Empty when a restart was taken out of the budget, else why there is none."""
        server, policy = self.server, self.server.spec.restart

        if crash.error.permanent or crash.action is Action.GIVE_UP:
            return f"a restart cannot help: {crash.error.message}"

        if not self._ready_since_start:
            if self._retries_left <= 0:
                return f"it never became ready: {crash.error.message}"

            self._retries_left -= 1
            server.budget = Budget(server.budget.used, policy.initial_delay)
            return ""

        if policy.policy is RestartMode.NEVER:
            return f"it is not to be restarted: {crash.error.message}"

        spent = spend(server.budget, policy, server.around.chance())

        if spent is None:
            return f"gave up after {server.budget.used} restarts: {crash.error.message}"

        server.budget = at_once(spent) if crash.action is Action.RESTART_NOW else spent
        return ""

    async def _back_off(self, crash: Crash) -> bool:
        server, delay = self.server, self.server.budget.last_delay
        first = not self._ready_since_start
        allowed = server.spec.restart.start_retries if first else server.spec.restart.max_restarts
        used = allowed - self._retries_left if first else server.budget.used
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

        with anyio.move_on_after(delay):
            await server.until(lambda: server.wanted is Wanted.DOWN or server.start_asked.is_set())

        if server.wanted is Wanted.DOWN:
            self._rest(State.STOPPED, reason="stop asked for")
            return False

        return True

    # -- small parts --------------------------------------------------------------------------

    def _rest(self, state: State, *, reason: str = "", error: ServerError | None = None) -> None:
        if state is State.FAILED or self.server.wanted is Wanted.DOWN:
            self._let_go()

        self.server.promised_port = None
        self.server.run = None
        self.server.enter(state, reason=reason, error=error)

    def _let_go(self) -> None:
        lock, self._lock, self._plugins = self._lock, None, None

        if lock is not None:
            lock.release()

    def _tell_exit(self, exit_: Exit, run: Run) -> None:
        self.server.voice.say(Exited(server=self.server.name, generation=run.generation, exit=exit_))

    def _tell_failure(self, failure: Failure) -> None:
        self.server.voice.say(
            PluginFailed(
                server=self.server.name,
                generation=self.server.generation,
                plugin=failure.plugin,
                hook=failure.hook,
                reason=self.server.voice.masker.text(failure.reason),
                seconds=failure.seconds,
                disabled=failure.disabled,
            )
        )
