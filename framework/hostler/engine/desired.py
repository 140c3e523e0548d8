"""What is wanted of a server, apart from what is."""

from __future__ import annotations

import anyio


class DesiredState:
    """Up or down, why, and which run is to end. Nothing but its own methods writes it.

    `planned` says that the next start is a restart by plan, over which plugins are kept; `attended` that a
    supervisor sees to it; `completed` that the task has done its work; `away` names the needed servers
    with which it comes back.
    """

    __slots__ = (
        "_start_asked",
        "attended",
        "away",
        "completed",
        "end_asked_of",
        "is_up",
        "planned",
        "reason",
    )

    def __init__(self) -> None:
        self.is_up = False
        self.reason = ""
        self.end_asked_of = 0
        self.planned = False
        self.attended = False
        self.completed = False
        self.away: frozenset[str] = frozenset()
        self._start_asked = anyio.Event()

    @property
    def start_asked(self) -> bool:
        """Whether a start is asked for that has not begun."""
        return self._start_asked.is_set()

    @property
    def what_ends_it(self) -> str:
        """The command that ends a run."""
        return f"{'restart' if self.is_up else 'stop'} asked for"

    def ends(self, generation: int) -> bool:
        """Whether this run is to end, for a stop or a restart."""
        return not self.is_up or self.end_asked_of == generation

    # -- commands -----------------------------------------------------------------------------

    def up(self, *, starts: bool, planned: bool | None = None) -> None:
        """Want it up; with `starts` there is no run that could fulfil it, so one has to begin."""
        self.is_up, self.reason, self.away = True, "", frozenset()
        self.planned = self.planned if planned is None else planned
        if starts:
            self.completed = False
            self._start_asked.set()

    def down(self, generation: int, reason: str) -> None:
        """Want it down: this run ends, even if it is wanted up again at once."""
        self.is_up, self.reason, self.away = False, reason, frozenset()
        self.end_asked_of, self.planned = generation, False

    def restart(self, generation: int, reason: str = "") -> None:
        """Want this run to end and another one to begin."""
        self.reason, self.end_asked_of, self.planned = reason, generation, True

    def attend(self, attended: bool) -> None:
        """Take commands from now on, or no more."""
        self.attended = attended

    # -- needed servers -----------------------------------------------------------------------

    def note_away(self, name: str) -> None:
        """A needed server is away: come back with it."""
        self.away |= {name}

    def note_back(self, name: str) -> None:
        """A needed server is back."""
        self.away -= {name}

    # -- the life -----------------------------------------------------------------------------

    async def until_start_asked(self) -> None:
        """Wait for a start that is asked for, and take it."""
        await self._start_asked.wait()
        self._start_asked = anyio.Event()

    def take_planned(self) -> bool:
        """Whether the start that begins is a restart by plan; the next one is not."""
        planned, self.planned = self.planned, False
        return planned

    def begin(self) -> None:
        """A run begins: it is what was asked for until now."""
        self.reason = ""
        self._start_asked = anyio.Event()

    def done(self, *, task: bool = False, returns: bool = False) -> None:
        """It has done its work, and is wanted down unless it was started again meanwhile.

        With `returns` it still comes back with the needed servers that are away.
        """
        if not self.start_asked:
            self.is_up, self.completed = False, task
            self.away = self.away if returns else frozenset()

    def give_up(self) -> None:
        """Want no restart: hostler ends, or has failed itself."""
        self.is_up = False

    def rested(self) -> None:
        """It is stopped: for a restart, or a start that was asked for meanwhile, begin anew."""
        if self.is_up:
            self._start_asked.set()
