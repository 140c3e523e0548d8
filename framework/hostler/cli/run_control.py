"""The control socket of one `hostler run`: when it is there, and what its clients have the run do."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING

from hostler.cli.background_end import BackgroundEnd
from hostler.cli.output.views import View
from hostler.cli.reload import Reloading
from hostler.cli.run_options import ControlOptions
from hostler.cli.start_report import StartReport
from hostler.concurrency.threads import run_in_thread
from hostler.errors import EnvironmentSetupFailed, ProcessAlreadyRunning, ServerError
from hostler.events.events import Event, Spawned, StateChanged
from hostler.model.diff import Changes
from hostler.model.states import State
from hostler.supervisor.supervisor import Supervisor

if TYPE_CHECKING:
    from hostler.config.show import Shown
    from hostler.control.control import Control


_LOOK_SECONDS = 60.0


class RunControl:
    """Opens and closes the control socket of a run, and carries out what clients ask of the run itself.

    Without options there is none.
    """

    def __init__(
        self,
        options: ControlOptions | None,
        supervisor: Supervisor,
        reloading: Reloading,
        view: View,
        end: Callable[[bool], None],
        is_ending: Callable[[], bool],
        start_rest: Callable[[], None],
    ) -> None:
        self._options = options
        self._supervisor = supervisor
        self._reloading = reloading
        self._view = view
        self._end = end
        self._is_ending = is_ending
        self._start_rest = start_rest
        self._control: Control | None = None
        self._report = StartReport(None if options is None else options.background)

    @property
    def in_background(self) -> bool:
        """Whether the run has no terminal, and lasts until it is told to end."""
        return self._options is not None and self._options.background is not None

    # -- when it is there ----------------------------------------------------------------------

    async def open(self) -> None:
        """In the background: lock the configuration before anything is started. ProcessAlreadyRunning."""
        if self._options is not None and self.in_background:
            await self._listen(self._options)

    async def serve(self) -> None:
        """Have a socket once something was started, which it must not delay, and look after the run."""
        if self._options is None:
            return
        if self.in_background:
            self._report.begin(self._supervisor)
            await self._watch(self._options)
            return
        await _first_start(self._supervisor)
        try:
            await self._listen(self._options)
        except (ProcessAlreadyRunning, EnvironmentSetupFailed, OSError) as error:
            # Many homes are as deep as that; `hostler ps` says it where somebody asks.
            if isinstance(error, ServerError) and "longest" in error.context.details:
                return
            reason = error.message if isinstance(error, ServerError) else error.strerror
            self._view.show_message(f"other commands cannot reach this hostler: {reason}")
            return
        while True:  # without its locks nobody would find it, to have it make them again
            await asyncio.sleep(_LOOK_SECONDS)
            self.listen_again()

    def report_failure(self, error: ServerError) -> None:
        """Report to who started this run in the background why it ends."""
        self._report.fail(error)

    async def close(self) -> None:
        """Answer nobody any more; then the lock is free, and is not taken again."""
        self._options = None
        control, self._control = self._control, None
        if control is not None:
            await control.__aexit__(None, None, None)

    def listen_again(self, number: int = 0) -> None:
        """Make the lock and the socket anew where somebody has removed them."""
        if self._control is not None:
            with suppress(OSError, ServerError):
                self._control.listen_again()

    async def _listen(self, options: ControlOptions) -> None:
        control = await run_in_thread(_control_class, abandon_on_cancel=True, daemon=False)
        if self._options is None:  # closed meanwhile
            return
        self._control = control(
            self._supervisor,
            configuration=options.configuration,
            spec=options.spec,
            host=self,
            about=_about(options),
            relistens=True,
        )
        await self._control.__aenter__()

    # -- what clients ask ----------------------------------------------------------------------

    async def variables(self) -> tuple[set[str], set[str]]:
        """The variables that the configuration refers to."""
        return await self._reloading.variables()

    async def show(self, server: str | None) -> Shown:
        """Read the configuration, or one server of it, to show it."""
        self._refuse_if_ending()
        assert self._options is not None  # it is closed after that
        return await self._reloading.show(partial(self._options.show, server))

    async def reload(self, *, dry_run: bool, environ: Mapping[str, str | None] | None) -> Changes:
        """Read the configuration again, unless it is too late for that."""
        self._refuse_if_ending()
        if not dry_run:
            self._view.show_command("a client has asked for a reload")
        return await self._reloading.reload(dry_run=dry_run, environ=environ)

    def _refuse_if_ending(self) -> None:
        if self._is_ending():
            from hostler.control.problems import Refused  # noqa: PLC0415 - who asks has had it imported

            raise Refused("shutting_down", "this hostler is about to end")

    def start_rest(self) -> None:
        """Start what starts by itself, and was neither started nor stopped until now."""
        self._start_rest()

    def shutdown(self, *, force: bool) -> None:
        """End the run."""
        self._view.show_command("a client has asked to end")
        self._end(force)

    # -- when it ends by itself ----------------------------------------------------------------

    async def _watch(self, options: ControlOptions) -> None:
        end = BackgroundEnd(
            self._supervisor, options.configuration.parent, options.idle_exit, self._without_client
        )
        if reason := await end.wait(self.listen_again):
            self._view.show_message(reason)
        self._end(False)

    def _without_client(self) -> float:
        return float("inf") if self._control is None else self._control.idle_for


def _about(options: ControlOptions) -> dict[str, object]:
    """What others want to know of a run in the background: its log, and how `hostler up` has started it."""
    if options.log is None:
        return {}
    return {"log": options.log, "words": sys.argv[sys.argv.index(options.log) + 1 :]}


def _control_class() -> type[Control]:
    from hostler.control.control import Control  # noqa: PLC0415 - in a thread, as it must hold up no server

    return Control


async def _first_start(supervisor: Supervisor) -> None:
    """Wait until a process was spawned, or none will be for now."""
    begun = asyncio.Event()

    def look(event: Event) -> None:
        if isinstance(event, Spawned) or (
            isinstance(event, StateChanged) and event.state is not State.STARTING
        ):
            begun.set()

    end = supervisor.listen(look)
    try:
        if any(server.wanted for server in supervisor.servers.values()):
            await begun.wait()
    finally:
        end()
