"""What the tests of captured output share: a sink in memory, captured children, what was reported."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TypeAlias

import anyio
import pytest
from hostler.model.launch import Sink
from hostler.model.values import StreamName
from hostler.process.output.capture import Capture, OutputReader
from hostler.secrets.masking import Masker

DEADLINE = 10.0
Spawn: TypeAlias = Callable[..., subprocess.Popen[bytes]]


class MemorySink:
    """A sink in memory."""

    def __init__(self) -> None:
        self.pieces: list[tuple[StreamName, bytes]] = []
        self.closed = 0

    def write(self, stream: StreamName, data: bytes) -> None:
        self.pieces.append((stream, data))

    def close(self) -> None:
        self.closed += 1

    def text(self, stream: StreamName = "stdout") -> bytes:
        return b"".join(data for name, data in self.pieces if name == stream)


class Troubles(list[tuple[str, str, Mapping[str, object]]]):
    """What on_trouble was reported, and that it was reported on the loop's thread."""

    def __call__(self, topic: str, text: str, details: Mapping[str, object]) -> None:
        assert threading.current_thread() is threading.main_thread()
        self.append((topic, text, details))

    @property
    def topics(self) -> list[str]:
        return [topic for topic, _, _ in self]


def output_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "hostler-output"]


def is_open(fd: int) -> bool:
    try:
        os.fstat(fd)
    except OSError:
        return False
    return True


def open_fds() -> set[int]:
    """The descriptors that are open, without the one that lists them."""
    return {fd for fd in [int(path.name) for path in Path("/proc/self/fd").iterdir()] if is_open(fd)}


def two_fifos(folder: Path) -> tuple[Path, Path]:
    """Two pipes that a child waits at: one alone could be opened again before its writer has closed it."""
    first, second = folder / "first", folder / "second"
    os.mkfifo(first)
    os.mkfifo(second)
    return first, second


@contextlib.contextmanager
def running_reader() -> Iterator[OutputReader]:
    reader = OutputReader()
    yield reader
    reader.close()
    assert not output_threads()


@contextlib.contextmanager
def captured_children() -> Iterator[Spawn]:
    """Starts shell commands or Python programs with captured output."""
    processes: list[subprocess.Popen[bytes]] = []

    def spawn(capture: Capture, *argv: str) -> subprocess.Popen[bytes]:
        process = subprocess.Popen(
            argv if len(argv) > 1 else ["sh", "-c", *argv],
            stdin=subprocess.DEVNULL,
            stdout=capture.write_fd("stdout"),
            stderr=capture.write_fd("stderr"),
            process_group=0,
        )
        capture.close_write_fds()
        processes.append(process)
        return process

    yield spawn

    for process in processes:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def open_capture(
    reader: OutputReader, *sinks: Sink, masker: Masker | None = None, reported: Troubles | None = None
) -> Capture:
    troubles = Troubles() if reported is None else reported
    return reader.open(generation=7, masker=masker or Masker(), sinks=sinks, on_trouble=troubles)


async def until(condition: Callable[[], object]) -> None:
    with anyio.fail_after(DEADLINE):
        while not condition():  # noqa: ASYNC110 - what is waited for happens on another thread
            await anyio.sleep(0.005)


@pytest.fixture
def reader() -> Iterator[OutputReader]:
    with running_reader() as reader:
        yield reader


@pytest.fixture
def spawned() -> Iterator[Spawn]:
    with captured_children() as spawn:
        yield spawn
