"""Where a benchmark plays: a folder, children that stamp the clock, other programs; all gone at the end."""

from __future__ import annotations

import json
import os
import resource
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Self

from measuring import children, until

HERE = Path(__file__).parent
AT_ONCE = 'restart = { policy = "always", initial_delay = "0s", max_delay = "0s", max_restarts = 100000 }'
_PYTHON_CHILD = """
import time
now = time.monotonic_ns()
import os, signal, sys
with open(sys.argv[1], "a") as file:
    file.write(f"exec {now} {os.getpid()}\\n")
if sys.argv[2:]:
    time.sleep(int(sys.argv[2]) / 1000)
    sys.exit(1)
signal.pause()
"""


class Stage:
    """A context manager; everything that was started on it is killed at its end."""

    def __init__(self) -> None:
        self._place = Path(tempfile.mkdtemp(prefix="hostler-bench-"))
        self.folder = _apart(self._place)
        self.env = self._environment()
        self.child = self._build()
        self.since = 0  # the monotonic nanoseconds at which the last program was started
        self._started: list[subprocess.Popen[str]] = []
        self._count = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        for process in self._started:
            self.end(process)
        self._sweep()
        shutil.rmtree(self._place, ignore_errors=True)

    def _sweep(self) -> None:
        """Kill children that other supervisors left behind: their command lines name this folder."""
        for folder in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):
                if os.fsencode(self.folder) in (folder / "cmdline").read_bytes():
                    os.kill(int(folder.name), signal.SIGKILL)

    def _environment(self) -> dict[str, str]:
        """State, data, cache and compiled modules of its own: a shell may forbid to write those elsewhere."""
        env = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
        env["PYTHONPYCACHEPREFIX"] = str(self.folder / "compiled")
        kinds = ("STATE", "DATA", "CACHE", "CONFIG")
        env |= {f"XDG_{kind}_HOME": str(self.folder / kind.lower()) for kind in kinds}
        return env | {"XDG_RUNTIME_DIR": str(self.folder)}  # where control sockets go; it is ours alone

    def _build(self) -> list[str]:
        """A C program where there is a compiler, since Python needs 15 ms to its first instruction."""
        compiler, program = shutil.which("gcc") or shutil.which("cc"), self.folder / "child"
        for options in (["-static"], []) if compiler else ():
            argv = [str(compiler), "-O2", *options, "-o", str(program), str(HERE / "child.c")]
            if subprocess.run(argv, check=False, capture_output=True).returncode == 0:
                return [str(program)]
        return [sys.executable, "-I", "-S", "-c", _PYTHON_CHILD]

    def path(self, name: str) -> Path:
        """A path that nobody has used yet."""
        self._count += 1
        return self.folder / f"{self._count}-{name}"

    def write(self, text: str) -> Path:
        """A configuration file."""
        file = self.path("servers.toml")
        file.write_text(text)
        return file

    def server(self, stamps: Path, *switches: str) -> list[str]:
        """The argv of a server with an event stream, for a configuration."""
        script = str(HERE / "event_server.py")
        return [sys.executable, "-I", "-S", script, str(stamps), "${server.port}", *switches]

    def start(self, argv: Sequence[str], *, output: int = subprocess.DEVNULL) -> subprocess.Popen[str]:
        """Start a program that is killed at the end."""
        self.since = time.monotonic_ns()
        process = subprocess.Popen(
            list(argv),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=None if os.environ.get("BENCHMARKS_DEBUG") else subprocess.DEVNULL,
            text=True,
            env=self.env,
            cwd=self.folder,
        )
        self._started.append(process)
        return process

    def run(self, argv: Sequence[str]) -> float:
        """Run a program to its end; the milliseconds that took. Raises CalledProcessError when it fails."""
        begin = time.perf_counter()
        subprocess.run(
            list(argv),
            check=True,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            env=self.env,
            cwd=self.folder,
        )
        return (time.perf_counter() - begin) * 1000

    def end(self, process: subprocess.Popen[str], seconds: float = 5.0) -> None:
        """SIGTERM, some seconds, SIGKILL."""
        if process.poll() is None:
            process.terminate()
            if not _ends_within(process, seconds):
                process.kill()
            process.wait()

        if process.stdout is not None:
            process.stdout.close()

    def stop(self, process: subprocess.Popen[str]) -> float:
        """The seconds from SIGTERM to the end. Raises TimeoutError.

        circus loses a SIGTERM that comes while it starts a child. When nothing has happened after two seconds
        there is another, and the time counts from that one.
        """
        count = len(children(process.pid))
        for _ in range(30):
            begin = time.monotonic()
            process.terminate()
            if _ends_within(process, 2) or (len(children(process.pid)) < count and _ends_within(process, 60)):
                process.wait()
                return time.monotonic() - begin
        raise TimeoutError(f"{process.args!r} did not end after SIGTERM")


def _apart(place: Path) -> Path:
    """A new folder in `place`, whose files ext4 puts into a part of the disk of its own.

    Where thousands of files were removed in the last minutes, as by the benchmark before, ext4 without a
    journal takes up to a millisecond to make one: that would be most of what is measured.
    """
    if chattr := shutil.which("chattr"):  # which other file systems refuse
        subprocess.run([chattr, "+T", str(place)], check=False, capture_output=True)
    return Path(tempfile.mkdtemp(dir=place, prefix=""))  # the part is chosen by its name


def _ends_within(process: subprocess.Popen[str], seconds: float) -> bool:
    """Told by the kernel: Popen.wait with a time-out looks only each 50 ms."""
    pidfd = os.pidfd_open(process.pid)
    try:
        return bool(select.select([pidfd], [], [], seconds)[0])
    finally:
        os.close(pidfd)


def hostler(*words: str) -> list[str]:
    """The argv of the installed command, of the Python that runs this."""
    script = Path(sys.executable).with_name("hostler")
    return [*([str(script)] if script.exists() else [sys.executable, "-m", "hostler.cli"]), *words]


def table(name: str, argv: Sequence[str], *lines: str, plugins: Sequence[str] = ()) -> str:
    """One server as TOML; a JSON string is a TOML string too."""
    head = [f"[servers.{name}]", f"command = {json.dumps(list(argv))}", *lines]
    return "\n".join([*head, f"[servers.{name}.plugins]", *plugins, ""])


def stamps(path: Path, what: str) -> list[tuple[int, int]]:
    """(nanoseconds, pid) of each complete stamp of one kind."""
    lines = path.read_text().splitlines(keepends=True) if path.exists() else []
    words = [line.split() for line in lines if line.endswith("\n")]
    return [(int(word[1]), int(word[2])) for word in words if word[0] == what]


def next_stamp(path: Path, what: str, after: int = 0, seconds: float = 20.0) -> tuple[int, int]:
    """The first stamp after a moment."""
    until(lambda: any(when > after for when, _ in stamps(path, what)), seconds, 0.0005)
    return next(stamp for stamp in stamps(path, what) if stamp[0] > after)


def kill_and_see(path: Path, pid: int) -> tuple[float, int]:
    """SIGKILL a child; the milliseconds to its successor's first instruction, and the successor's pid."""
    now = time.monotonic_ns()
    os.kill(pid, signal.SIGKILL)
    when, pid = next_stamp(path, "exec", now)
    return (when - now) / 1e6, pid


def allow_many_descriptors() -> None:
    """Raise the limit of this program and of what it starts."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 65536), hard))


def forget_ignored_signals() -> None:
    """A shell starts its background with SIGINT ignored, and hostler would undo that for each child."""
    for number in signal.valid_signals():
        if signal.getsignal(number) is signal.SIG_IGN and number not in {signal.SIGPIPE, signal.SIGXFSZ}:
            signal.signal(number, signal.SIG_DFL)
