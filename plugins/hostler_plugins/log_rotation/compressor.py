"""Compressing rotated log files beside the output, while they get other numbers."""

from __future__ import annotations

import contextlib
import os
import threading
from collections import deque
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import TypeAlias

from hostler import LogIndex

READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC  # it may be a pipe by now
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_PIECE = 1024 * 1024

FileId: TypeAlias = tuple[int, int]
"""The device and the inode of a file: what it keeps when its name changes."""


class Compressor:
    """Compresses files one after the other, in a daemon thread that is there while there is work.

    `name_of(folder, file)` tells the name that a file has now, None where it is gone. Names change only
    under the lock `renaming`.
    """

    def __init__(
        self,
        part: str,
        renaming: AbstractContextManager[object],
        name_of: Callable[[int, FileId], str | None],
    ) -> None:
        self._part = part  # the name until it is whole: a crash leaves no half archive that counts
        self._renaming = renaming
        self._name_of = name_of
        self._waiting: deque[FileId] = deque()
        self._thread: threading.Thread | None = None
        self._given_up = False

    def add(self, folder: int, name: str) -> None:
        """Compress a file soon (under the lock). OSError: it stays as it is."""
        self._waiting.append(file_id(folder, name))
        if self._thread is not None:
            return
        copy = os.dup(folder)
        # A daemon, because a program that ends does not wait for it.
        self._thread = threading.Thread(target=self._work, args=(copy,), name="hostler-compress", daemon=True)
        try:
            self._thread.start()
        except RuntimeError:  # no thread: here, then
            self._work(copy)

    def close(self, timeout: float) -> None:
        """Wait until all is compressed; what is not after so many seconds stays as it is."""
        with self._renaming:
            work = self._thread
        if work is not None:
            work.join(timeout)
        with self._renaming:
            self._given_up = True

    def _work(self, folder: int) -> None:
        while (file := self._next()) is not None:
            try:
                self._compress(folder, file)
            except OSError:  # a full disk, say: it stays as it is
                with contextlib.suppress(OSError):
                    os.unlink(self._part, dir_fd=folder)
        os.close(folder)

    def _next(self) -> FileId | None:
        with self._renaming:
            if self._waiting and not self._given_up:
                return self._waiting.popleft()
            self._thread = None
            return None

    def _compress(self, folder: int, file: FileId) -> None:
        with self._renaming:
            name = self._name_of(folder, file)
            if name is None:  # more came than could be compressed
                return
            source = os.open(name, READ, dir_fd=folder)

        self._write_part(folder, source)

        with self._renaming:
            name = None if self._given_up else self._name_of(folder, file)
            if name is None:
                os.unlink(self._part, dir_fd=folder)
            else:
                LogIndex.hand_over(folder, name, self._part)
                os.replace(self._part, f"{name}.gz", src_dir_fd=folder, dst_dir_fd=folder)
                os.unlink(name, dir_fd=folder)

    def _write_part(self, folder: int, source: int) -> None:
        import gzip  # noqa: PLC0415 - only who compresses needs it

        with os.fdopen(source, "rb") as plain:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(self._part, dir_fd=folder)
            with (
                os.fdopen(os.open(self._part, _NEW, 0o600, dir_fd=folder), "wb") as target,
                gzip.GzipFile(filename="", fileobj=target, mode="wb", compresslevel=6) as pressed,
            ):
                while not self._given_up and (piece := plain.read(_PIECE)):
                    pressed.write(piece)


def file_id(folder: int, name: str) -> FileId:
    """What a file is known by, whatever its name will be."""
    found = os.stat(name, dir_fd=folder, follow_symlinks=False)
    return found.st_dev, found.st_ino
