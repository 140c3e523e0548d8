"""The client of the watchdog: starts it when needed, lists the runs that it ends, replaces one that dies."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import TypeAlias

import anyio

from hostler.errors import ProcessSpawnFailed
from hostler.process.spawn.exits import ExitStatus, Process
from hostler.process.tree.process_table import MARKER

OnLost: TypeAlias = Callable[[str, str, Mapping[str, object]], None]

_KEPT_VARIABLES = (MARKER, "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH")
_EXIT_TIMEOUT = 1.0
_FINAL_KILL_TIMEOUT = 3.0
_MAX_RESTART_DELAY = 60.0
_POLL_INTERVAL = 0.002


class WatchdogClient:
    """One watchdog process for all guarded runs of a supervisor; there is none while there was no run.

    It ends what is listed as soon as this process is gone, however that came about. All methods are
    called on the event loop's thread; `close` also when no loop runs any more.
    """

    def __init__(self) -> None:
        # Of each run the line that lists it, and what is called when the watchdog is lost.
        self._runs: dict[str, tuple[str, OnLost]] = {}
        self._process: Process | None = None
        self._channel: socket.socket | None = None
        self._started = asyncio.Event()

    @property
    def pid(self) -> int | None:
        """The pid of the watchdog, None without one."""
        return None if self._process is None else self._process.pid

    def add(self, run_id: str, on_lost: OnLost) -> None:
        """List a run that is about to be spawned; `on_lost` is called when the watchdog is lost.

        Raises ProcessSpawnFailed when there is no watchdog and none can be started.
        """
        line = f"add {run_id}"
        self._runs[run_id] = line, on_lost
        try:
            self._start() if self._process is None else self._send(line)
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
            line = f"add {run_id} {pid} {started!r}{group}"
            self._runs[run_id] = line, self._runs[run_id][1]
            self._send(line)

    def remove(self, run_id: str) -> None:
        """Take a run off the list: its tree is gone. One that is not listed is passed over."""
        if self._runs.pop(run_id, None) is not None:
            self._send(f"remove {run_id}")

    async def watch(self) -> None:
        """Notice when the watchdog dies, report it for each run, and start another; until cancelled."""
        pause = 0.0

        while True:
            await self._started.wait()
            self._started.clear()
            process, began = self._process, time.monotonic()
            if process is None:
                continue
            status = await process.wait()
            pause = 0.0 if time.monotonic() - began > _MAX_RESTART_DELAY else pause
            self._handle_exit(process, status)
            while self._runs and self._process is None:
                await anyio.sleep(pause)
                pause = min(max(2 * pause, 0.5), _MAX_RESTART_DELAY)
                self._restart()

    def close(self) -> None:
        """End the watchdog, blocking: at once, or when it has ended what is still listed, 3 s at most."""
        process, self._process = self._process, None
        timeout = _FINAL_KILL_TIMEOUT if self._runs else 0.0
        self._runs.clear()
        self._close_channel()
        if process is not None:
            _wait_for(process, timeout)
            process.send_signal(signal.SIGKILL)
            _wait_for(process, _EXIT_TIMEOUT)

    def disown(self) -> None:
        """Release the watchdog in a forked child: else it would not notice the end of its parent."""
        self._process = None
        self._runs.clear()
        self._close_channel()

    def _start(self) -> None:
        """Start a watchdog and give it the whole list. Raises OSError."""
        ours, theirs = socket.socketpair()
        try:
            with theirs:
                self._process = _spawn(theirs)
        except BaseException:
            ours.close()
            raise

        ours.settimeout(_EXIT_TIMEOUT)
        self._channel = ours
        self._send(*(line for line, _ in self._runs.values()))
        self._started.set()

    def _restart(self) -> None:
        if not self._runs or self._process is not None:
            return
        try:
            self._start()
        except OSError as error:
            self._report(f"no watchdog can be started: {error.strerror or error}; retrying")

    def _send(self, *lines: str) -> None:
        """Write to the watchdog; one that does not read is replaced like one that died."""
        text = "".join(f"{line}\n" for line in lines).encode()
        try:
            if self._channel is not None:
                self._channel.sendall(text, getattr(socket, "MSG_NOSIGNAL", 0))
        except OSError:
            self._close_channel()
            if self._process is not None:
                self._process.send_signal(signal.SIGKILL)

    def _handle_exit(self, process: Process, status: ExitStatus) -> None:
        if self._process is process:
            self._process = None
            self._close_channel()
            how = status.name if status.signal else f"exit code {status.code}"
            self._report(f"the watchdog (pid {process.pid}) is gone: {how}; starting another one")

    def _report(self, text: str) -> None:
        for _, on_lost in tuple(self._runs.values()):
            on_lost("guard_lost", text, {})

    def _close_channel(self) -> None:
        if self._channel is not None:
            self._channel.close()
            self._channel = None


def _spawn(channel: socket.socket) -> Process:
    """Start the program, in a session of its own, with one end of the channel as its standard input."""
    program = Path(__file__).with_name("watchdog.py")
    began = time.monotonic()
    # Isolated (-I), without site-packages (-S) and of the environment only what it needs: it is small, starts
    # fast, and no variable or startup file of the user's can change what it does.
    child = subprocess.Popen(
        [sys.executable, "-I", "-S", str(program), str(os.getpid()), *_folders()],
        cwd="/",
        env={name: os.environ[name] for name in _KEPT_VARIABLES if name in os.environ},
        stdin=channel.fileno(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    return Process(child, "", began)


def _folders() -> list[str]:
    """Where it imports from: hostler, and elsewhere than on Linux psutil."""
    folders = [str(Path(__file__).parents[3])]
    if sys.platform != "linux":  # pragma: other-system
        spec = find_spec("psutil")
        folders += [] if spec is None or spec.origin is None else [str(Path(spec.origin).parents[1])]
    return folders


def _wait_for(process: Process, seconds: float) -> None:
    until = time.monotonic() + seconds
    while process.alive() and time.monotonic() < until:
        time.sleep(_POLL_INTERVAL)
