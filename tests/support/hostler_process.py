"""Running `hostler` as a real process, plainly or on a terminal."""

from __future__ import annotations

import os
import pty
import queue
import select
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import pytest
from servers import fake_server

HOSTLER = [sys.executable, "-m", "hostler.cli"]
Done: TypeAlias = "subprocess.CompletedProcess[str]"


def server_table(*switches: str, name: str = "fake", **settings: str) -> str:
    """The TOML of a fake server; settings are written as they are."""
    lines = [f"[servers.{name}]", f"command = {fake_server('--port', '${server.port}', *switches)}"]
    lines += [f"{key} = {value}" for key, value in settings.items()]
    return "\n".join([*lines, f"[servers.{name}.plugins]", "regex-port = true", ""])


class Hostler:
    """One running `hostler`, whose output is read as it comes."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.stdout: list[str] = []
        self.stderr: list[str] = []
        self._news: queue.Queue[None] = queue.Queue()
        self._threads = [
            threading.Thread(target=self._read, args=pair, daemon=True)
            for pair in ((process.stdout, self.stdout), (process.stderr, self.stderr))
            if pair[0] is not None
        ]

        for thread in self._threads:
            thread.start()

    def _read(self, stream: Any, into: list[str]) -> None:
        for line in stream:
            into.append(line.rstrip("\n"))
            self._news.put(None)

    def wait_for(self, text: str, seconds: float = 20.0) -> str:
        """Wait for a line that holds `text`, and return it."""
        deadline = time.monotonic() + seconds

        while True:
            for line in [*self.stdout, *self.stderr]:
                if text in line:
                    return line
            try:
                self._news.get(timeout=max(0.0, deadline - time.monotonic()))
            except queue.Empty:
                pytest.fail(f"no {text!r} in {self.stdout} {self.stderr}")

    def send(self, number: int) -> None:
        self.process.send_signal(number)

    def end(self, seconds: float = 20.0) -> int:
        """Wait for the end and for the last line; the exit code."""
        code = self.process.wait(seconds)
        for thread in self._threads:
            thread.join(seconds)
        return code


Run = Callable[..., Done]
Start = Callable[..., Hostler]
Configure = Callable[..., Path]


class Terminal:
    """hostler on a pseudo-terminal, as its session's foreground program."""

    def __init__(
        self, folder: Path, environ: dict[str, str], *words: str, program: Sequence[str] = HOSTLER
    ) -> None:
        self.text = ""
        self.pid, self.fd = pty.fork()
        if not self.pid:  # the child
            try:
                os.chdir(folder)
                os.execve(program[0], [*program, *words], environ | {"TERM": "xterm-256color"})
            finally:
                os._exit(127)

    def read_until(self, wanted: str, seconds: float = 20.0) -> None:
        until = time.monotonic() + seconds
        while wanted not in self.text:
            assert time.monotonic() < until, self.text
            if select.select([self.fd], [], [], 0.1)[0]:
                self.text += os.read(self.fd, 65536).decode(errors="replace")

    def press(self, key: bytes) -> None:
        os.write(self.fd, key)

    def end(self) -> int:
        """Read to the end; the exit code."""
        try:
            while select.select([self.fd], [], [], 20)[0]:
                data = os.read(self.fd, 65536)
                self.text += data.decode(errors="replace")
        except OSError:  # EIO: nobody is there any more
            pass
        os.close(self.fd)
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
