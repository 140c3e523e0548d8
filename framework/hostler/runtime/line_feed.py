"""The lines of a run: cut only while somebody needs them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from hostler.concurrency.event_loop import call_user_code
from hostler.model.values import Line
from hostler.process.output.capture import Capture


@dataclass(slots=True)
class LineFollower:
    """Hands lines to `on_line` from `begin` on, until they are not `needed` any more."""

    capture: Capture
    on_line: Callable[[Line], None]
    needed: Callable[[], bool]
    _unfollow: Callable[[], None] | None = None

    @property
    def active(self) -> bool:
        """Whether lines are cut now."""
        return self._unfollow is not None

    def look(self) -> None:
        """Begin or end, as lines are needed or not."""
        if not self.needed():
            self.end()
        elif self._unfollow is None:
            self._unfollow = self.capture.follow(self._take)

    def end(self) -> None:
        """No more lines: from here on none are cut."""
        unfollow, self._unfollow = self._unfollow, None

        if unfollow is not None:
            unfollow()

    def _take(self, lines: list[Line]) -> None:
        call_user_code(self._hand_on, lines)

    def _hand_on(self, lines: list[Line]) -> None:
        for line in lines:
            self.on_line(line)

        self.look()
