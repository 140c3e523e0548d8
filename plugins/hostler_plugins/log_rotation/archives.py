"""The rotated files behind a log file: web.log.1 ... web.log.5, or web.log.1.gz where they are compressed."""

from __future__ import annotations

import contextlib
import os
import stat
import threading
from itertools import count, pairwise

from hostler import LogIndex

from hostler_plugins.log_rotation.compressor import READ, Compressor, FileId, file_id

_PATIENCE = 0.9
"""Seconds that closing waits for compression: less than the one after which a sink counts as stuck."""


class Archives:
    """The files that were rotated away, the newest first, by number from 1.

    `folder` is a descriptor of the folder that they are in: wherever its path leads meanwhile.
    """

    def __init__(self, name: str, keep: int, *, compress: bool) -> None:
        self._name = name
        self._keep = keep
        self._renaming = threading.RLock()
        self._work: threading.Thread | None = None
        part = f"{name}.1.gz.part"
        self._compressor = Compressor(part, self._renaming, self._name_of) if compress else None

    def shift(self, folder: int) -> None:
        """Give every file the next number, and the log file the first; the oldest goes.

        OSError: the log file has kept its name. A number whose name a folder has is passed over.
        """
        self.settle()

        with self._renaming, contextlib.ExitStack() as gone:
            places = [(0, [""]), *self._places(folder)]
            # First: a file system may write a file to the disk at once that replaces another.
            self._remove(gone, folder, *places[-1])
            for (new, _), (old, suffixes) in pairwise(reversed(places)):
                self._rename(folder, old, suffixes, new)

            with contextlib.suppress(OSError):  # what is left to do costs no output
                last, full = places[-1]
                if last and full:
                    self._remove_surplus(gone, folder, last)
                if full:
                    self._free_beside(gone.pop_all())
                if last and self._compressor is not None:
                    self._compressor.add(folder, self._numbered(places[1][0]))

    def settle(self) -> bool:
        """Wait until the room of what is gone is free; False where nothing is waited for."""
        work, self._work = self._work, None
        if work is not None:
            work.join()
        return work is not None

    def close(self) -> None:
        """Wait a moment until all is compressed; what is not then stays as it is."""
        self.settle()
        if self._compressor is not None:
            self._compressor.close(_PATIENCE)

    def _places(self, folder: int) -> list[tuple[int, list[str]]]:
        """The numbers and the suffixes of their files, up to the last that is kept.

        Or up to a gap, which a rotation that failed half-way has left: it is filled first.
        """
        places: list[tuple[int, list[str]]] = []
        numbers = count(1)
        while len(places) < self._keep:
            number = next(numbers)
            suffixes = self._suffixes(folder, number)
            if suffixes is not None:
                places.append((number, suffixes))
            if suffixes == []:
                break
        return places

    def _suffixes(self, folder: int, number: int) -> list[str] | None:
        """The suffixes with which there are files; None where one is a folder, which no file can replace."""
        modes = {suffix: _mode(self._numbered(number, suffix), folder) for suffix in ("", ".gz")}
        found = {suffix: mode for suffix, mode in modes.items() if mode is not None}
        return None if any(map(stat.S_ISDIR, found.values())) else [*found]

    def _rename(self, folder: int, old: int, suffixes: list[str], new: int) -> None:
        for suffix in suffixes:
            with contextlib.suppress(FileNotFoundError):
                _replace(self._numbered(old, suffix), self._numbered(new, suffix), folder)
                for other in {*suffixes} - {suffix}:
                    _remove(self._numbered(new, other), folder)
        if suffixes:
            LogIndex.rename(folder, self._numbered(old), self._numbered(new))

    def _numbered(self, number: int, suffix: str = "") -> str:
        return f"{self._name}.{number}{suffix}" if number else self._name

    def _remove(self, gone: contextlib.ExitStack, folder: int, number: int, suffixes: list[str]) -> None:
        """Remove files, still open: only when `gone` is closed does the kernel free what is in them."""
        for suffix in suffixes:
            name = self._numbered(number, suffix)
            with contextlib.suppress(OSError):
                gone.callback(os.close, os.open(name, READ, dir_fd=folder))
            _remove(name, folder)
        LogIndex.remove(folder, self._numbered(number))

    def _remove_surplus(self, gone: contextlib.ExitStack, folder: int, last: int) -> None:
        """Remove what is left of a time when more files were kept."""
        number = last + 1
        while suffixes := self._suffixes(folder, number):
            self._remove(gone, folder, number, suffixes)
            number += 1

    def _free_beside(self, gone: contextlib.ExitStack) -> None:
        """Close descriptors beside the output, which takes the kernel a while."""
        # Nothing is left when the program is killed meanwhile; one that ends does not wait for a daemon.
        work = threading.Thread(target=gone.close, name="hostler-log-files", daemon=True)
        try:
            work.start()
        except RuntimeError:  # no thread: here, then
            gone.close()
        else:
            self._work = work

    def _name_of(self, folder: int, file: FileId) -> str | None:
        for number, suffixes in self._places(folder):
            if "" in suffixes and file_id(folder, self._numbered(number)) == file:
                return self._numbered(number)
        return None


def _replace(old: str, new: str, folder: int) -> None:
    os.replace(old, new, src_dir_fd=folder, dst_dir_fd=folder)


def _remove(name: str, folder: int) -> None:
    with contextlib.suppress(FileNotFoundError):
        os.unlink(name, dir_fd=folder)


def _mode(name: str, folder: int) -> int | None:
    try:
        return os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode
    except (FileNotFoundError, NotADirectoryError):
        return None
