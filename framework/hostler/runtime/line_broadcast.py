"""The lines of a run for whoever follows them: cut only while somebody does."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace

from msgspec import Struct

from hostler.concurrency.event_loop import call_user_code
from hostler.model.values import Line
from hostler.process.output.capture import Capture
from hostler.runtime.plugin_tasks import name_of
from hostler.runtime.reporter import Reporter

_SLOW_LINE = 0.05


class LineBroadcast(Struct, eq=False):
    """Hands each line to `discover` while the endpoint is awaited, to plugins, and to `Server.lines`.

    `followers` are the plugins' functions. Each is called until it does not return True.
    """

    capture: Capture
    reporter: Reporter
    followers: list[Callable[[Line], bool]]
    discover: Callable[[Line], None]
    awaits_endpoint: Callable[[], bool]
    _unfollow: Callable[[], None] | None = None

    @property
    def active(self) -> bool:
        """Whether lines are cut now."""
        return self._unfollow is not None

    def update(self) -> None:
        """Cut lines while somebody wants them, and only then."""
        if not (self.awaits_endpoint() or self.followers or self.reporter.lines.followed):
            self.end()
        elif self._unfollow is None:
            self._unfollow = self.capture.follow(self._take)

    def end(self) -> None:
        """Cut no more lines."""
        unfollow, self._unfollow = self._unfollow, None
        if unfollow is not None:
            unfollow()

    def _take(self, lines: list[Line]) -> None:
        call_user_code(self._hand_on, lines)

    def _hand_on(self, lines: list[Line]) -> None:
        for line in lines:
            self.discover(line)
            text = self.reporter.masker.text(line.text)  # a plugin may have found a secret in it just now
            # A copy only if a secret was found: there may be many lines.
            self._publish(line if text is line.text else replace(line, text=text))
        self.update()

    def _publish(self, line: Line) -> None:
        self.followers[:] = [one for one in self.followers if self._wants_more(one, line)]
        self.reporter.lines.publish(line)

    def _wants_more(self, follower: Callable[[Line], bool], line: Line) -> bool:
        """Hand a line to a plugin; whether it wants the next one, too."""
        began = time.monotonic()

        try:
            return follower(line)
        except BaseException as error:  # noqa: BLE001 - reported, and no reason to keep lines from others
            text = f"{name_of(follower)} failed at a line: {error!r}"
            self.reporter.notice("follower_failed", text, "warning")
            return False
        finally:
            seconds = time.monotonic() - began
            if seconds > _SLOW_LINE:
                held = f"{name_of(follower)} blocked the event loop for {seconds:.2f} s at a line of output"
                self.reporter.notice("follower_slow", held, "warning")
