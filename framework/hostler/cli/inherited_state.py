"""What hostler is started with and does not want: closed descriptors, blocked and ignored signals."""

from __future__ import annotations

import os
import signal


def start_clean() -> None:
    """Have descriptors 0 to 2, no blocked signal, and SIGINT, SIGTERM and SIGCHLD as they usually are.

    An ignored SIGHUP stays ignored, as nohup wants it. As long as nothing is started, Ctrl-C ends us as it
    ends any program: at once, without a traceback.
    """
    _fill_descriptors()
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGCHLD):
        if signal.getsignal(number) in (signal.SIG_IGN, signal.default_int_handler):
            signal.signal(number, signal.SIG_DFL)


def _fill_descriptors() -> None:
    """Let nothing that is opened later, a log or a socket, be taken for our input or output."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            # The system gives the lowest free descriptor, which is this one.
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)
