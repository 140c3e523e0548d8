"""The servers of one `hostler run`: signals, the command beside them, the exit code."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any
from weakref import WeakSet

from hostler.cli.command_environment import addresses
from hostler.cli.exit_code import verdict
from hostler.cli.job_control import JobControl
from hostler.cli.output import PipeSafeView, View
from hostler.cli.output.renderer import lines_missed
from hostler.cli.reload import Reloading, has_terminal
from hostler.cli.run_arguments import NOT_EXECUTABLE, NOT_FOUND
from hostler.cli.session_keys import keep_session_keys
from hostler.concurrency.event_loop import loop_time
from hostler.engine.server import Server
from hostler.errors import InvalidConfiguration, ServerError
from hostler.events.events import Event, Notice
from hostler.model.graph import refuse_unset
from hostler.model.spec import Configuration
from hostler.model.states import State
from hostler.process.tree.reaper import reap_strangers
from hostler.supervisor.essential_servers import ESSENTIAL_ENDED
from hostler.supervisor.supervisor import Supervisor

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_MOST_LINES = 65_536  # of each server, that wait to be shown
_PATIENCE = 3.0  # seconds in which lines are shown when all is over
_ECHO = 0.5  # seconds in which a second SIGTERM is the first one, sent to the program and to its group
_TURN = 0.01  # seconds in which lines are shown without a rest


@dataclass(slots=True)
class RunSession:
    """Keeps the chosen servers up until a signal, until none is left, or until the command has ended."""

    configuration: Configuration
    names: Sequence[str]
    view: View
    load: Callable[[], Configuration]
    debug: bool = False
    _had_terminal: bool = field(default_factory=has_terminal)
    _reloading: Reloading | None = None
    _stop: asyncio.Event = field(default_factory=asyncio.Event)
    _tasks: set[asyncio.Task[Any]] = field(default_factory=set)
    _showing: WeakSet[asyncio.Task[Any]] = field(default_factory=WeakSet)
    _shown_until: float = float("inf")
    _beside: asyncio.subprocess.Process | None = None
    _supervisor: Supervisor | None = None
    _front: JobControl = field(default_factory=JobControl)
    _killing: bool = False
    _unread: bool = False
    _signal: int = 0
    _told: float = 0.0

    async def run(self, command: Sequence[str] | None) -> int:
        """Run all of it; the exit code."""
        self.view = PipeSafeView(self.view, self._on_gone if command is None else lambda: None)
        keep_session_keys(self.configuration)
        self._supervisor = supervisor = Supervisor(self._chosen(self.configuration))
        supervisor.listen(self.view.show)
        supervisor.listen(self._hear)
        self._reloading = Reloading(supervisor, lambda: self._chosen(self.load()), self.view)
        self._start(self._reloading.serve(self._follow))
        self._listen_to_signals()

        for name in supervisor:
            self._follow(name)

        try:
            async with supervisor:
                code = verdict(supervisor, await (self._run_beside(command) if command else self._keep()))
        except ServerError as error:
            self.view.show_message(str(error), error=True)
            code = 1
        finally:
            await self._show_the_rest()
            self.view.close()
            await self._end_tasks()
            self._ignore_signals()

        return code or int(self._unread)

    def _chosen(self, configuration: Configuration) -> Configuration:
        """The configuration with those started that were named in the call."""
        gone = [name for name in self.names if name not in configuration.servers]
        if gone:
            raise InvalidConfiguration(f"there is no server {', '.join(gone)} any more, named in the call")

        refuse_unset(configuration.servers, self.names)

        if not self.names:
            return configuration

        servers = {
            name: replace(spec, autostart=name in self.names) for name, spec in configuration.servers.items()
        }
        return replace(configuration, servers=servers)

    async def _keep(self) -> int:
        assert self._supervisor is not None
        await self._first_of(self._supervisor.wait(), self._stop.wait())
        return 0

    # -- the command beside ------------------------------------------------------------------

    async def _run_beside(self, command: Sequence[str]) -> int:
        supervisor = self._supervisor
        assert supervisor is not None
        await self._first_of(self._ready_or_failed(), self._stop.wait())

        if self._stop.is_set():
            return 128 + (self._signal or signal.SIGTERM)
        if supervisor.ended_by or any(one.state is State.FAILED for one in supervisor.servers.values()):
            return 1

        env = dict(os.environ) | addresses(supervisor.servers.values())
        try:
            self._beside = await asyncio.create_subprocess_exec(*command, env=env, **self._front.options)
        except FileNotFoundError:
            self.view.show_message(f"{command[0]}: no such program", error=True)
            return NOT_FOUND
        except OSError as error:
            self.view.show_message(f"{command[0]}: {error.strerror}", error=True)
            return NOT_EXECUTABLE

        self.view.stop_spinner()
        self._front.give(self._beside.pid)

        if self._stop.is_set() or supervisor.ended_by:
            self._pass_on(signal.SIGTERM)

        code = await self._beside.wait()
        self._front.take(code)
        return code if code >= 0 else 128 - code

    def _hear(self, event: Event) -> None:
        if isinstance(event, Notice) and event.topic == ESSENTIAL_ENDED:
            self._pass_on(signal.SIGTERM)

    async def _ready_or_failed(self) -> None:
        assert self._supervisor is not None
        with suppress(ServerError):  # the view has shown it
            await self._supervisor.wait_ready()

    # -- signals -----------------------------------------------------------------------------

    def _listen_to_signals(self) -> None:
        loop = asyncio.get_running_loop()
        for number in _SIGNALS:
            if signal.getsignal(number) is not signal.SIG_IGN:  # as nohup leaves SIGHUP
                on_signal = self._on_hangup if number == signal.SIGHUP else self._on_signal
                loop.add_signal_handler(number, on_signal, number)
        loop.add_signal_handler(signal.SIGCHLD, self._on_child)

    def _ignore_signals(self) -> None:
        """All is done: one more Ctrl-C must not spoil the exit code."""
        for number in _SIGNALS:
            if asyncio.get_running_loop().remove_signal_handler(number):
                signal.signal(number, signal.SIG_IGN)

    def _on_signal(self, number: int) -> None:
        if not self._stop.is_set():
            self._stop.set()
            self._signal, self._told = number, loop_time()
            self.view.show_shutdown()
            self._pass_on(number)
        elif number == self._signal == signal.SIGTERM and loop_time() - self._told < _ECHO:
            return
        elif self._supervisor is not None and not self._killing:
            self._killing = True
            self.view.show_message("killing what is left")
            self._pass_on(signal.SIGKILL)
            self._start(self._supervisor.stop(force=True))

    def _on_hangup(self, number: int) -> None:
        """The terminal is gone: stop. Otherwise it is a service's way to ask for a reload."""
        if self._had_terminal and not has_terminal():
            self._on_signal(number)
        elif self._reloading is not None and not self._stop.is_set():
            self._reloading.ask()

    def _on_gone(self) -> None:
        """Nobody reads what we write: nobody would miss the servers, or know of them. Stop in order."""
        self._unread = True
        self._stop.set()

    def _pass_on(self, number: int) -> None:
        if self._beside is None or self._beside.returncode is not None:
            return
        if not self._front.heard(number):
            with suppress(ProcessLookupError):
                self._beside.send_signal(number)

    def _on_child(self) -> None:
        self._front.look()
        if os.getpid() == 1:
            self._reap()

    def _reap(self) -> None:
        assert self._supervisor is not None
        own = {server.pid for server in self._supervisor.servers.values()}
        if self._beside is not None:
            own.add(self._beside.pid)
        reap_strangers(own.__contains__)

    # -- small parts -------------------------------------------------------------------------

    def _follow(self, name: str) -> None:
        """Show the lines of a server, where all output is to be shown."""
        assert self._supervisor is not None
        if self.debug and name in self._supervisor.servers:
            self._showing.add(self._start(self._show_lines(self._supervisor[name])))

    async def _show_lines(self, server: Server) -> None:
        rested, missed = loop_time(), 0

        async for line in server.lines(_MOST_LINES):
            if rested > self._shown_until:
                missed += 1 + line.missed
                continue
            self.view.show_line(server.name, line)
            if loop_time() - rested > _TURN:  # a terminal may be slow, and the loop has other things to do
                await asyncio.sleep(0)
                rested = loop_time()

        if missed:
            self.view.show_message(lines_missed(server.name, missed))

    async def _show_the_rest(self) -> None:
        """Show the lines that still wait when all is over, for a moment."""
        self._shown_until = loop_time() + _PATIENCE
        showing = [task for task in self._tasks if task in self._showing]
        if showing:
            await asyncio.wait(showing, timeout=10 * _PATIENCE)  # what is not shown is counted, soon

    def _start(self, work: Awaitable[Any]) -> asyncio.Task[Any]:
        task = asyncio.ensure_future(_quietly(work))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _first_of(self, *works: Awaitable[Any]) -> None:
        tasks = [asyncio.ensure_future(work) for work in works]
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)

    async def _end_tasks(self) -> None:
        for task in list(self._tasks):
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)


async def _quietly(work: Awaitable[Any]) -> None:
    with suppress(ServerError):  # told as an event already
        await work
