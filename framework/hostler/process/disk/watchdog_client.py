"""The watchdog as hostler sees it: started when needed, told what to end, replaced when it dies."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TypeAlias

import anyio

from hostler.errors import ProcessSpawnFailed
from hostler.process.spawn.exits import ExitStatus, Process, ProcessIdentity
from hostler.process.tree.table import MARKER, start_time

Tell: TypeAlias = Callable[[str, str, Mapping[str, object]], None]

_KEPT = (MARKER, "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH")
_PATIENCE = 1.0
_LAST_WORK = 3.0
_LONGEST_PAUSE = 60.0
_PAUSE = 0.002


@dataclass(slots=True)
class _Entry:
    """One run on the list: its line, and who is told when nobody guards it."""

    line: str
    tell: Tell


class WatchdogClient:
    """One watchdog process for all guarded runs of a supervisor; there is none while there was no run.

    It ends what is listed as soon as this process is gone, however that came about. All methods are
    called on the event loop's thread; `close` also when no loop runs any more.
    """

    def __init__(self) -> None:
        self._runs: dict[str, _Entry] = {}
        self._process: Process | None = None
        self._wire: socket.socket | None = None
        self._started = asyncio.Event()

    @property
    def pid(self) -> int | None:
        """The pid of the watchdog, None without one."""
        return None if self._process is None else self._process.pid

    def add(self, run_id: str, tell: Tell) -> None:
        """List a run that is about to be spawned; `tell` hears of it when the watchdog is lost.

        Raises ProcessSpawnFailed when there is no watchdog and none can be started.
        """
        self._runs[run_id] = _Entry(f"add {run_id}", tell)

        try:
            self._begin() if self._process is None else self._send(self._runs[run_id].line)
        except OSError as error:
            del self._runs[run_id]
            raise ProcessSpawnFailed(
                f"the watchdog of guard = true cannot be started: {error.strerror or error}",
                hint="free some processes and descriptors, or set guard = false",
            ) from error

    def complete(self, run_id: str, pid: int, started: float, cgroup: Path | None = None) -> None:
        """Say which process a run is, once it was spawned; `started` is its start time."""
        if run_id in self._runs:
            group = "" if cgroup is None else f" {cgroup}"
            self._runs[run_id].line = f"add {run_id} {pid} {started!r}{group}"
            self._send(self._runs[run_id].line)

    def remove(self, run_id: str) -> None:
        """Take a run off the list: its tree is gone. One that is not listed is passed over."""
        if self._runs.pop(run_id, None) is not None:
            self._send(f"remove {run_id}")

    async def watch(self) -> None:
        """Notice when the watchdog dies, tell whom it guarded, and start another; until cancelled."""
        pause = 0.0

        while True:
            await self._started.wait()
            self._started.clear()
            process, began = self._process, time.monotonic()

            if process is None:
                continue

            status = await process.wait()
            pause = 0.0 if time.monotonic() - began > _LONGEST_PAUSE else pause
            self._lost(process, status)

            while self._runs and self._process is None:
                await anyio.sleep(pause)
                pause = min(max(2 * pause, 0.5), _LONGEST_PAUSE)
                self._begin_again()

    def close(self) -> None:
        """End the watchdog, blocking: at once, or when it has ended what is still listed, 3 s at most."""
        process, self._process = self._process, None
        patience = _LAST_WORK if self._runs else 0.0
        self._runs.clear()
        self._hang_up()

        if process is not None:
            _wait_for(process, patience)
            process.send_signal(signal.SIGKILL)
            _wait_for(process, _PATIENCE)

    def disown(self) -> None:
        """Let go of the watchdog in a forked child: else it would not notice the end of its parent."""
        self._process = None
        self._runs.clear()
        self._hang_up()

    def _begin(self) -> None:
        """Start a watchdog and give it the whole list. Raises OSError."""
        ours, theirs = socket.socketpair()

        try:
            with theirs:
                self._process = _start(theirs)
        except BaseException:
            ours.close()
            raise

        ours.settimeout(_PATIENCE)
        self._wire = ours
        self._send(*(entry.line for entry in self._runs.values()))
        self._started.set()

    def _begin_again(self) -> None:
        if not self._runs or self._process is not None:
            return

        try:
            self._begin()
        except OSError as error:
            self._tell(f"no watchdog can be started: {error.strerror or error}; it is tried again")

    def _send(self, *lines: str) -> None:
        """Write to the watchdog; one that does not read is replaced like one that died."""
        text = "".join(f"{line}\n" for line in lines).encode()

        try:
            if self._wire is not None:
                self._wire.sendall(text, getattr(socket, "MSG_NOSIGNAL", 0))
        except OSError:
            self._hang_up()

            if self._process is not None:
                self._process.send_signal(signal.SIGKILL)

    def _lost(self, process: Process, status: ExitStatus) -> None:
        if self._process is process:
            self._process = None
            self._hang_up()
            how = _in_words(status)
            self._tell(f"the watchdog (pid {process.pid}) is gone: {how}; another one is started")

    def _tell(self, text: str) -> None:
        for entry in tuple(self._runs.values()):
            entry.tell("guard_lost", text, {})

    def _hang_up(self) -> None:
        if self._wire is not None:
            self._wire.close()
            self._wire = None


def _start(wire: socket.socket) -> Process:
    """Start the program, in a session of its own, with one end of the wire as its standard input."""
    program = Path(__file__).with_name("watchdog.py")
    began = time.monotonic()
    child = subprocess.Popen(
        [sys.executable, "-I", "-S", str(program), str(os.getpid()), *_folders()],
        cwd="/",
        env={name: os.environ[name] for name in _KEPT if name in os.environ},
        stdin=wire.fileno(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    child.returncode = 0  # Process reaps it: Popen is neither to wait nor to warn

    try:
        return Process(child.pid, ProcessIdentity("", began, start_time(child.pid)))
    except OSError:
        os.kill(child.pid, signal.SIGKILL)
        os.waitpid(child.pid, 0)
        raise


def _folders() -> list[str]:
    """Where it imports from: hostler, and elsewhere than on Linux psutil."""
    folders = [str(Path(__file__).parents[3])]

    if sys.platform != "linux":  # pragma: other-system
        spec = find_spec("psutil")
        folders += [] if spec is None or spec.origin is None else [str(Path(spec.origin).parents[1])]

    return folders


def _in_words(status: ExitStatus) -> str:
    return signal.Signals(status.signal).name if status.signal else f"exit code {status.code}"


def _wait_for(process: Process, seconds: float) -> None:
    until = time.monotonic() + seconds

    while process.alive() and time.monotonic() < until:
        time.sleep(_PAUSE)
