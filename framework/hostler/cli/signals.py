"""The signals of one `hostler run`, handed to its event loop."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Mapping


class RunSignals:
    """Has the event loop call what each signal is `told` to, with its number; none is lost.

    On SIGCHLD it calls `on_child`, once for all children that have ended meanwhile, and only where
    `wants_child` holds: a restart waits for each call. Used on the event loop's thread.
    """

    def __init__(
        self,
        told: Mapping[signal.Signals, Callable[[int], object]],
        on_child: Callable[[], object],
        wants_child: Callable[[], bool],
    ) -> None:
        self._told = told
        self._on_child = on_child
        self._wants_child = wants_child
        self._child_call: asyncio.Handle | None = None  # until it is made
        self._loop = asyncio.get_running_loop()

    def listen(self) -> None:
        """Handle them from now on, but those that are ignored: nohup leaves SIGHUP so."""
        # A handler for one signal, which nobody sends, has the loop woken up by all of them.
        self._loop.add_signal_handler(signal.SIGURG, lambda: None)
        # The socket to the loop takes 278 signals, and hundreds of children may end at once. That any of them
        # came is enough to know, but the others must not be lost: they are told without it.
        signal.set_wakeup_fd(signal.set_wakeup_fd(-1), warn_on_full_buffer=False)
        self._handle(signal.SIGCHLD, self._tell_child)
        for number in self._told:
            if signal.getsignal(number) is not signal.SIG_IGN:
                self._handle(number, self._tell)

    def ignore(self) -> None:
        """All is done: one more Ctrl-C must not spoil the exit code, and the loop is told of no child."""
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        for number in self._told:
            signal.signal(number, signal.SIG_IGN)

    def _handle(self, number: signal.Signals, handler: Callable[[int, object], None]) -> None:
        signal.signal(number, handler)
        signal.siginterrupt(number, False)

    def _tell(self, number: int, _: object) -> None:
        self._loop.call_soon_threadsafe(self._told[signal.Signals(number)], number)

    def _tell_child(self, *_: object) -> None:
        if self._child_call is None and self._wants_child():
            self._child_call = self._loop.call_soon_threadsafe(self._take_child)

    def _take_child(self) -> None:
        self._child_call = None
        self._on_child()
