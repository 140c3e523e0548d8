"""What is desired of a server, apart from what is."""

from __future__ import annotations

from hostler.concurrency.flag import Flag

_NONE: frozenset[str] = frozenset()  # one for all servers: each call makes another one, of 200 bytes


class DesiredState:
    """Up or down, why, and which run is to end. Nothing but its own methods writes it.

    `planned` says that the next start is a planned restart, over which plugins are kept;
    `accepts_commands` that a supervisor carries commands out; `completed` that the task has done its work;
    `until_reloaded` that it is down only until a reload has changed it; `suspended_for` names the needed
    servers with which it comes back.
    """

    def __init__(self) -> None:
        self.is_up = False
        self.stop_reason = ""
        self.stop_requested_for = -1  # not even for a run that never was
        self.planned = False
        self.accepts_commands = False
        self.completed = False
        self.until_reloaded = False
        self.suspended_for = _NONE
        self._start_requested = Flag()

    @property
    def start_requested(self) -> bool:
        """Whether a start is requested that has not begun."""
        return self._start_requested.is_set()

    @property
    def ending_command(self) -> str:
        """The command that ends a run, for messages."""
        return f"{'restart' if self.is_up else 'stop'} asked for"

    def ends(self, generation: int) -> bool:
        """Whether this run is to end, for a stop or a restart."""
        return not self.is_up or self.stop_requested_for == generation

    # -- commands -----------------------------------------------------------------------------

    def up(self, *, starts: bool, planned: bool | None = None) -> None:
        """Want it up; with `starts` there is no run that could fulfil it, so one has to begin."""
        self.is_up, self.stop_reason, self.suspended_for = True, "", _NONE
        self.until_reloaded = False
        self.planned = self.planned if planned is None else planned
        if starts:
            self.completed = False
            self._start_requested.set()

    def down(self, generation: int, reason: str, *, until_reloaded: bool = False) -> None:
        """Want it down: this run ends, even if it is wanted up again at once.

        With `until_reloaded` it is to be up again after that, unless it was wanted down before.
        """
        self.until_reloaded = until_reloaded and (self.is_up or self.until_reloaded)
        # A start that is requested before the run has ended cannot revoke this: its generation is on record.
        self.is_up, self.stop_reason, self.suspended_for = False, reason, _NONE
        self.stop_requested_for, self.planned = generation, False

    def restart(self, generation: int, reason: str = "") -> None:
        """Want this run to end and another one to begin."""
        self.stop_reason, self.stop_requested_for, self.planned = reason, generation, True

    def accept_commands(self, accepts: bool) -> None:
        """Accept commands from now on, or no more."""
        self.accepts_commands = accepts

    # -- needed servers -----------------------------------------------------------------------

    def suspend_for(self, name: str) -> None:
        """Come back with this needed server."""
        self.suspended_for |= {name}

    def resume_for(self, name: str) -> None:
        """A needed server is back: nothing waits for it any more."""
        self.suspended_for -= {name}

    # -- what the lifecycle reports -----------------------------------------------------------

    async def wait_start_requested(self) -> None:
        """Wait for a start that is requested, and take it."""
        await self._start_requested.wait()
        self._start_requested = Flag()

    def take_planned(self) -> bool:
        """Whether the start that begins is a planned restart; the next one is not."""
        planned, self.planned = self.planned, False
        return planned

    def begin_run(self) -> None:
        """A run begins: it fulfils every start that was requested until now."""
        self.stop_reason = ""
        self._start_requested = Flag()

    def done(self, *, task: bool = False, returns: bool = False) -> None:
        """It has done its work, and is desired down unless it was started again meanwhile.

        With `returns` it still comes back with the needed servers for which it is suspended.
        """
        if not self.start_requested:
            self.is_up, self.completed = False, task
            self.suspended_for = self.suspended_for if returns else _NONE

    def give_up(self) -> None:
        """Want no restart: hostler ends, or has failed itself."""
        self.is_up = False

    def note_stopped(self) -> None:
        """It is stopped: for a restart, or a start that was requested meanwhile, begin anew."""
        if self.is_up:
            self._start_requested.set()
