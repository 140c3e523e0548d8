"""The end of a command that hangs in the import of a plugin, which nothing else could end."""

from __future__ import annotations

import faulthandler
import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType

_LOADING = os.path.join("hostler", "plugins", "discovery.py")  # noqa: PTH118 - the end of a file name
SECONDS = 10
_STDERR = 2
_EXIT_CODE = 2  # as for any mistake in a configuration


@contextmanager
def bounded_imports(seconds: int = SECONDS) -> Iterator[None]:
    """End this program, with words and exit code 2, when the import of a plugin inside takes `seconds`.

    Nothing may have been started yet: nothing is cleaned up. What does not even let other threads run is
    ended with a traceback, which names the file too, and exit code 1.
    """
    done = threading.Event()
    caller = threading.get_ident()
    watch = threading.Thread(target=_watch, args=(caller, seconds, done), name="hostler-imports", daemon=True)

    with suppress(RuntimeError):  # too many processes
        _end_when_silent(seconds)
        watch.start()

    try:
        yield
    finally:
        done.set()
        faulthandler.cancel_dump_traceback_later()


def _watch(thread: int, seconds: int, done: threading.Event) -> None:
    place, passed = "", 0

    # Seconds are counted and not taken from a clock: a program that was stopped for a while took none.
    while not done.wait(1.0):
        _end_when_silent(seconds)
        before, place = place, _imported(sys._current_frames().get(thread))  # noqa: SLF001 - documented
        passed = passed + 1 if place and place == before else 0
        if passed >= seconds:
            _end(place, seconds)

    faulthandler.cancel_dump_traceback_later()


def _end_when_silent(seconds: int) -> None:
    """End this program when this is not called again in time: a thread of C asks nobody."""
    faulthandler.dump_traceback_later(seconds, exit=True, file=_STDERR)


def _imported(frame: FrameType | None) -> str:
    """The file of the plugin that is being imported, by the innermost import; "" for none."""
    file = ""
    while frame is not None and not frame.f_code.co_filename.endswith(_LOADING):
        if not frame.f_code.co_filename.startswith("<frozen importlib"):
            file = frame.f_code.co_filename
        frame = frame.f_back
    return "" if frame is None else file


def _end(file: str, seconds: int) -> None:
    text = (
        f"{file!r}: the import of this plugin is not finished after {seconds} s\n"
        "  what to do: run nothing at import; do it in a hook\n"
    )
    os.write(_STDERR, text.encode(errors="backslashreplace"))
    os._exit(_EXIT_CODE)
