"""Output where no thread or no descriptor can be had: reported, nothing lost for good, nothing left open."""

from __future__ import annotations

import errno
import os
import selectors
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import anyio
import pytest
from anyio import to_thread
from hostler.model.values import StreamName
from hostler.process.output.capture import OutputReader
from hostler.secrets.masking import Masker


class Bucket:
    """A sink that keeps everything."""

    def __init__(self) -> None:
        self.data = b""
        self.closed = 0

    def write(self, stream: StreamName, data: bytes) -> None:
        self.data += data

    def close(self) -> None:
        self.closed += 1


class Shortage:
    """Refuses threads, selectors or memory while it lasts; the real limits would stop the test's own, too.

    `memory` is how many bytes a read of the output may take, and `refused` tells that one was refused.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.threads = self.selectors = False
        self.memory, self.refused = 1 << 20, threading.Event()
        start, selector, read = threading.Thread.start, selectors.DefaultSelector, os.read

        def start_or_refuse(thread: threading.Thread) -> None:
            if self.threads and thread.name == "hostler-output":
                raise RuntimeError("can't start new thread")
            start(thread)

        def make_or_refuse() -> selectors.BaseSelector:
            if self.selectors:
                raise OSError(errno.EMFILE, "Too many open files")
            return selector()

        def read_or_refuse(fd: int, size: int) -> bytes:
            if size > self.memory and threading.current_thread().name == "hostler-output":
                self.refused.set()
                raise MemoryError
            return read(fd, size)

        monkeypatch.setattr(os, "read", read_or_refuse)
        monkeypatch.setattr(threading.Thread, "start", start_or_refuse)
        monkeypatch.setattr("hostler.process.output.reader.selectors.DefaultSelector", make_or_refuse)


@pytest.fixture
def shortage(monkeypatch: pytest.MonkeyPatch) -> Shortage:
    return Shortage(monkeypatch)


@contextmanager
def no_descriptor_left() -> Iterator[None]:
    before = len(list(Path("/proc/self/fd").iterdir()))
    yield
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def open_capture(reader: OutputReader, sink: Bucket) -> None:
    reader.open(generation=1, masker=Masker(), sinks=[sink], on_trouble=lambda *_: None)


@pytest.mark.parametrize("what", ["threads", "selectors"])
async def test_output_that_nobody_can_read_is_refused_and_its_sink_closed_at_the_end(
    shortage: Shortage, what: str
) -> None:
    sink = Bucket()
    with no_descriptor_left():
        reader = OutputReader()
        setattr(shortage, what, True)
        with pytest.raises(OSError, match=r"(Resource temporarily unavailable|Too many open files)"):
            open_capture(reader, sink)
        reader.close()
    assert sink.closed == 1


@pytest.mark.parametrize("what", ["threads", "selectors"])
async def test_output_is_read_as_soon_as_somebody_can(shortage: Shortage, what: str) -> None:
    refused, sink = Bucket(), Bucket()

    with no_descriptor_left():
        reader = OutputReader()
        setattr(shortage, what, True)
        with pytest.raises(OSError, match=r"(Resource temporarily unavailable|Too many open files)"):
            open_capture(reader, refused)
        setattr(shortage, what, False)
        capture = reader.open(generation=2, masker=Masker(), sinks=[sink], on_trouble=lambda *_: None)
        os.write(capture.write_fd("stdout") or -1, b"here again\n")
        capture.close_write_fds()
        with anyio.fail_after(5):
            assert await capture.drained(5)
            await capture.close()
        reader.close()

    assert sink.data == b"here again\n"
    assert (sink.closed, refused.closed) == (1, 1)


@pytest.mark.parametrize("memory", [4096, 0])
async def test_output_is_read_in_small_pieces_where_memory_is_short_and_goes_on_where_there_was_none(
    shortage: Shortage, memory: int
) -> None:
    sink, reader = Bucket(), OutputReader()
    capture = reader.open(generation=1, masker=Masker(), sinks=[sink], on_trouble=lambda *_: None)
    shortage.memory = memory
    os.write(capture.write_fd("stdout") or -1, b"x" * 50_000)
    capture.close_write_fds()
    with anyio.fail_after(10):
        await to_thread.run_sync(shortage.refused.wait)
        shortage.memory = memory or 1 << 20
        assert await capture.drained(5)
        await capture.close()
    reader.close()
    assert len(sink.data) == 50_000
