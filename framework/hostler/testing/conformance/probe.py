"""Imports one module in a program of its own and reports what that did; import_probe.py starts it.

Nothing of hostler is imported here before the watching begins but what every plugin imports.
"""

from __future__ import annotations

import json
import logging
import os
import signal
import sys
import threading
import traceback
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from types import FrameType

from hostler.model.spec import PluginSpec
from hostler.plugins.discovery import find_class

_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
_DEEDS = {
    "subprocess.Popen": "starts a program",
    "os.system": "starts a program",
    "os.posix_spawn": "starts a program",
    "os.fork": "forks",
    "os.forkpty": "forks",
    "socket.__new__": "opens a socket",
    "socket.getaddrinfo": "asks the resolver",
    "os.mkdir": "makes a directory",
    "os.remove": "removes a file",
    "os.rmdir": "removes a directory",
    "os.rename": "renames a file",
    "os.symlink": "makes a link",
    "os.link": "makes a link",
    "os.chdir": "changes the working directory",
    "os.putenv": "changes the environment",
    "os.unsetenv": "changes the environment",
}


class Watch:
    """Notes what is done while it is on, with the line of the module that did it."""

    def __init__(self, root: str) -> None:
        self.deeds: list[str] = []
        self._root = root
        self._on = False

    def begin(self) -> None:
        """Look from now on, at threads too, which Python does not always tell of."""
        start = threading.Thread.start

        def noted(thread: threading.Thread) -> None:
            self._note("starts a thread")
            start(thread)

        threading.Thread.start = noted  # type: ignore[method-assign, assignment]
        sys.addaudithook(self._hear)
        self._on = True

    def end(self) -> None:
        """Look no longer."""
        self._on = False

    def _hear(self, event: str, arguments: tuple[object, ...]) -> None:
        if not self._on:
            return
        if event == "open":
            path, _, flags = arguments
            written = isinstance(flags, int) and flags & _WRITES and "__pycache__" not in str(path)
            self._note(f"writes the file {path}") if written and path != os.devnull else None
        elif event in _DEEDS:
            self._note(_DEEDS[event])

    def _note(self, deed: str) -> None:
        if self._on:
            self.deeds.append(f"{deed}{self._line(sys._getframe(1))}")  # noqa: SLF001 - the public way is far slower

    def _line(self, frame: FrameType | None) -> str:
        while frame is not None:
            if frame.f_code.co_filename.startswith(self._root):
                return f" (line {frame.f_lineno} of {Path(frame.f_code.co_filename).name})"
            frame = frame.f_back
        return ""


def main(order: str) -> None:
    """Import what the order says, and print a JSON object as the last line."""
    given = json.loads(order)
    watch = Watch(given["root"])
    before, settings = set(sys.modules), _settings()
    watch.begin()

    try:
        _import(given["module"], given["file"], given["qualname"])
        error = ""
    except BaseException as failure:  # noqa: BLE001 - whatever it is, it is told
        error = traceback.format_exception_only(failure)[-1].strip()

    watch.end()
    changed = [name for name, value in _settings().items() if value != settings[name]]
    new = sorted({name.partition(".")[0] for name in set(sys.modules) - before})
    print(f"\n{json.dumps({'deeds': watch.deeds, 'changed': changed, 'modules': new, 'error': error})}")  # noqa: T201 - its answer
    sys.stdout.flush()
    os._exit(0)  # whatever it started must not hold us up


def _import(module: str, file: str, qualname: str) -> None:
    try:
        spec = find_spec(module)
    except (ImportError, ValueError):
        spec = None
    if spec is not None and spec.origin is not None and Path(spec.origin).resolve() == Path(file):
        import_module(module)
    else:
        find_class(PluginSpec("probed", use=f"{file}:{qualname}"))


def _settings() -> dict[str, object]:
    """What a module could change for the whole program."""
    return {
        "signal handlers": {number: signal.getsignal(number) for number in signal.valid_signals()},
        "the handlers or the level of the root logger": (list(logging.root.handlers), logging.root.level),
    }
