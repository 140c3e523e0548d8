"""The servers of one `hostler run`: what signals do, the companion command, the exit code."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any

from hostler.cli.companion import Companion
from hostler.cli.job_control import has_terminal
from hostler.cli.output.closed_pipe import PipeSafeView
from hostler.cli.output.renderer import lines_missed
from hostler.cli.output.views import View
from hostler.cli.reload import Reloading, keep_session_keys
from hostler.cli.run_control import RunControl
from hostler.cli.run_options import ControlOptions
from hostler.cli.signals import RunSignals
from hostler.cli.start_choice import StartChoice
from hostler.concurrency.event_loop import loop_time
from hostler.control.shortage import NO_DESCRIPTOR
from hostler.errors import ServerError
from hostler.events.events import Event, Notice
from hostler.model.choices import Kind
from hostler.model.spec import Configuration
from hostler.model.states import State
from hostler.process.tree.reaper import OrphanReaper
from hostler.supervisor.context import descriptors_of
from hostler.supervisor.essential_servers import ESSENTIAL_ENDED, exit_code
from hostler.supervisor.handle import Server, engine_of
from hostler.supervisor.reload import SERVER_ADDED
from hostler.supervisor.supervisor import Supervisor

_MOST_LINES = 65_536  # of each server, that wait to be shown
_LAST_SECONDS = 3.0  # in which lines are shown when all is over
# `timeout` sends SIGTERM to its program and to its group: within this time a second one is the first.
_ECHO_SECONDS = 0.5
_BURST_SECONDS = 0.01  # in which lines are shown without a rest
_GARBAGE = 100_000  # objects more, after which they are looked through while all is stopped


class RunSession:
    """Keeps the chosen servers up until a signal, until none is left, or until the companion has ended.

    `load` reads the configuration again. Made and used on the event loop's thread.
    """

    def __init__(
        self,
        configuration: Configuration,
        names: Sequence[str],
        command: Sequence[str] | None,
        view: View,
        load: Callable[[Mapping[str, str]], Configuration],
        *,
        with_output: bool,
        control: ControlOptions | None = None,
    ) -> None:
        self._names, self._with_output = names, with_output
        choice = StartChoice(names, starts=control is None or control.starts)
        self._view = PipeSafeView(view, self._on_closed_pipe if command is None else lambda: None)
        self._companion = Companion(command, self._view) if command else None
        self._had_terminal = has_terminal()
        self._supervisor = Supervisor(choice.of(configuration))
        # Before any thread or child is started: they would keep the keys of the login session.
        keep_session_keys(self._supervisor, configuration.servers.values())
        self._supervisor.adopt_orphans()
        self._prefix = self._supervisor.raise_descriptor_limit()
        self._orphans = OrphanReaper(self._children)
        self._stop = asyncio.Event()
        again, is_ending = (lambda environ: choice.of(load(environ))), self._stop.is_set
        self._reloading = Reloading(self._supervisor, again, self._view, configuration.control, is_ending)
        self._control = RunControl(
            control,
            self._supervisor,
            self._reloading,
            self._view,
            self._end,
            self._stop.is_set,
            lambda: choice.start_rest(self._supervisor),
        )
        self._signals = self._told_signals()
        self._file = configuration.path
        self._tasks: set[asyncio.Task[Any]] = set()
        self._showing: set[asyncio.Task[Any]] = set()
        self._shown_until = float("inf")
        self._is_killing, self._is_unread = False, False
        self._signal, self._signalled_at = 0, 0.0

    async def run(self) -> int:
        """Run all of it; the exit code."""
        self._begin()
        try:
            # The lock first, so that two in the background never start the same servers.
            await self._control.open()
            self._view.show_start(self._file)
            async with self._supervisor:
                self._start(self._control.serve())
                code = await (self._run_companion(self._companion) if self._companion else self._keep())
                # Before the block ends: that stops the servers, which hides how they have ended.
                code = _exit_code(self._supervisor, code)
                # Looking through a thousand servers again and again takes up to a third of their stop;
                # frozen, they are not looked through at the end of the program either.
                gc.set_threshold(_GARBAGE)
                gc.freeze()
        except ServerError as error:
            self._view.show_message(str(error), error=True)
            self._control.report_failure(error)
            code = 1
        finally:
            await self._control.close()
            await self._show_the_rest()
            self._view.close()
            await self._end_tasks()
            self._signals.ignore()

        return code or int(self._is_unread)

    def _begin(self) -> None:
        asyncio.get_running_loop().set_exception_handler(_report_failed_callback)
        self._supervisor.listen(self._view.show)
        self._supervisor.listen(self._on_event)
        self._start(self._reloading.serve())
        if os.environ.get("NOTIFY_SOCKET") and not self._control.in_background:
            from hostler.cli.systemd_report import SystemdReport  # noqa: PLC0415 - only as a service

            self._start(SystemdReport(self._supervisor, os.environ, self._stop.is_set).serve())
        self._signals.listen()
        descriptors_of(self._supervisor).spawn_apart()
        for name in self._supervisor:
            self._follow(name)

    async def _keep(self) -> int:
        if self._control.in_background:
            await self._stop.wait()
        else:
            await _first_of(self._supervisor.wait(), self._stop.wait())
        return 0

    async def _run_companion(self, companion: Companion) -> int:
        supervisor = self._supervisor
        await _first_of(_quietly(supervisor.wait_ready()), self._stop.wait())

        if self._stop.is_set():
            return 128 + (self._signal or signal.SIGTERM)
        if supervisor.ended_by or any(one.state is State.FAILED for one in supervisor.servers.values()):
            return 1
        if code := await companion.start(supervisor.servers.values(), self._names, self._prefix()):
            return code
        # What came while the command was being started: a Ctrl-C was ours until it had the terminal.
        if self._stop.is_set() or supervisor.ended_by:
            companion.send_signal(signal.SIGKILL if self._is_killing else self._signal or signal.SIGTERM)

        return await companion.wait()

    def _on_event(self, event: Event) -> None:
        if isinstance(event, Notice) and event.topic == ESSENTIAL_ENDED:
            self._pass_on(signal.SIGTERM)
        if isinstance(event, Notice) and event.topic == SERVER_ADDED:
            # One of a template may have less rights than all that were there in the beginning.
            keep_session_keys(self._supervisor, [self._supervisor[event.server].spec])
            self._follow(event.server)

    # -- what signals do ---------------------------------------------------------------------

    def _told_signals(self) -> RunSignals:
        told = {
            signal.SIGINT: self._on_signal,
            signal.SIGTERM: self._on_signal,
            signal.SIGHUP: self._on_hangup,
            signal.SIGUSR1: self._control.listen_again,
        }

        def wants_child() -> bool:
            return self._companion is not None or not self._orphans.looks_soon

        return RunSignals(told, self._on_child, wants_child)

    def _on_signal(self, number: int) -> None:
        if not self._stop.is_set():
            self._stop.set()
            self._signal, self._signalled_at = number, loop_time()
            self._view.show_shutdown()
            self._pass_on(number)
        elif number == self._signal == signal.SIGTERM and loop_time() - self._signalled_at < _ECHO_SECONDS:
            return
        elif not self._is_killing:
            self._kill()

    def _end(self, force: bool) -> None:
        """End the run, for a client: as the first signal does, with `force` as the second one."""
        if not self._stop.is_set():
            self._on_signal(signal.SIGTERM)
        if force and not self._is_killing:
            self._kill()

    def _kill(self) -> None:
        self._is_killing = True
        self._view.show_message("killing what is left")
        self._pass_on(signal.SIGKILL)
        self._start(self._supervisor.stop(force=True))

    def _on_hangup(self, number: int) -> None:
        """Stop when the terminal is gone. Otherwise SIGHUP requests a reload, as services have it."""
        if self._had_terminal and not has_terminal():
            self._on_signal(number)
        elif not self._stop.is_set():
            self._reloading.request()

    def _on_closed_pipe(self) -> None:
        """Nobody reads what we write: nobody would miss the servers, or know of them. Stop in order."""
        self._is_unread = True
        self._stop.set()

    def _pass_on(self, number: int) -> None:
        if self._companion is not None:
            self._companion.send_signal(number)

    def _on_child(self) -> None:
        if self._companion is not None:
            self._companion.on_child_signal()
        self._orphans.note_exit()

    def _children(self) -> set[int | None]:
        """The pids of the servers' processes, and of the companion."""
        companion = None if self._companion is None else self._companion.pid
        return {companion, *(server.pid for server in self._supervisor.servers.values())}

    # -- output and tasks --------------------------------------------------------------------

    def _follow(self, name: str) -> None:
        """Show the lines of a server, where output is to be shown."""
        if self._with_output and name in self._supervisor.servers:
            self._showing.add(self._start(self._show_lines(self._supervisor[name])))

    async def _show_lines(self, server: Server) -> None:
        rested, missed = loop_time(), 0

        async for line in server.lines(_MOST_LINES):
            if rested > self._shown_until:
                missed += 1 + line.missed
                continue
            self._view.show_line(server.name, line)
            # A terminal may be slow, and the loop has other things to do.
            if loop_time() - rested > _BURST_SECONDS:
                await asyncio.sleep(0)
                rested = loop_time()

        if missed:
            self._view.show_message(lines_missed(server.name, missed))

    async def _show_the_rest(self) -> None:
        """Show the lines that still wait when all is over, for a moment."""
        self._shown_until = loop_time() + _LAST_SECONDS
        if self._showing:  # what is not shown is counted, soon
            await asyncio.wait(self._showing, timeout=10 * _LAST_SECONDS)

    def _start(self, work: Awaitable[Any]) -> asyncio.Task[Any]:
        task = asyncio.ensure_future(_quietly(work))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _end_tasks(self) -> None:
        for task in list(self._tasks):
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)


async def _quietly(work: Awaitable[Any]) -> None:
    with suppress(ServerError):  # the view has shown its event
        await work


def _report_failed_callback(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    error = context.get("exception")
    # A client that cannot be accepted now: asyncio tells it a hundred times, and tries again in a second.
    if not isinstance(error, OSError) or error.errno not in NO_DESCRIPTOR:
        loop.default_exception_handler(context)


async def _first_of(*works: Awaitable[Any]) -> None:
    """Wait for the first to end, and cancel the others."""
    tasks = [asyncio.ensure_future(work) for work in works]
    await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)


def _exit_code(supervisor: Supervisor, code: int) -> int:
    """The code of the run, given that of its companion (0 without one); evaluated before all are stopped.

    An essential server that has ended decides; else the companion; else a task that has failed (the
    first with a code of its own); else 1 when anything has failed.
    """
    if supervisor.ended_by is not None:
        return supervisor.ended_by.code
    failed = [server for server in supervisor.servers.values() if server.state is State.FAILED]
    own = [exit_code(engine_of(server)) for server in failed if server.spec.kind is Kind.TASK]
    return code or next((one for one in own if one > 1), int(bool(failed)))
