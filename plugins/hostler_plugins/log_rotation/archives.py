"""The rotated files behind a log file: web.log.1 ... web.log.5, or web.log.1.gz where they are compressed."""

from __future__ import annotations

import contextlib
import os
import stat
import threading
from itertools import count, pairwise

_PART = ".part"
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC  # it may be a pipe by now
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


class Archives:
    """The files that were rotated away, the newest first, by number from 1.

    `folder` is a descriptor of the folder that they are in: wherever its path leads meanwhile.
    """

    def __init__(self, name: str, keep: int, *, compress: bool) -> None:
        self._name = name
        self._keep = keep
        self._compress = compress
        self._work: threading.Thread | None = None

    def shift(self, folder: int) -> None:
        """Give every file the next number, and the log file the first; the oldest goes.

        OSError: the log file has kept its name. A number whose name a folder has is passed over.
        """
        self.settle()
        places = [(0, [""]), *self._places(folder)]

        with contextlib.ExitStack() as gone:
            # First: a file system may write a file to the disk at once that replaces another.
            self._remove(gone, folder, *places[-1])
            for (new, _), (old, suffixes) in pairwise(reversed(places)):
                self._rename(folder, old, suffixes, new)

            with contextlib.suppress(OSError):  # what is left to do costs no output
                last, full = places[-1]
                if last and full:
                    self._remove_surplus(gone, folder, last)
                if full or self._compress:
                    self._finish_beside(gone, folder, places[1][0] if last and self._compress else 0)

    def settle(self) -> bool:
        """Wait until what the last rotation left to do is done; False where there was nothing."""
        work, self._work = self._work, None
        if work is not None:
            work.join()
        return work is not None

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

    def _numbered(self, number: int, suffix: str = "") -> str:
        return f"{self._name}.{number}{suffix}" if number else self._name

    def _remove(self, gone: contextlib.ExitStack, folder: int, number: int, suffixes: list[str]) -> None:
        """Remove files, still open: only when `gone` is closed does the kernel free what is in them."""
        for suffix in suffixes:
            name = self._numbered(number, suffix)
            with contextlib.suppress(OSError):
                gone.callback(os.close, os.open(name, _READ, dir_fd=folder))
            _remove(name, folder)

    def _remove_surplus(self, gone: contextlib.ExitStack, folder: int, last: int) -> None:
        """Remove what is left of a time when more files were kept."""
        number = last + 1
        while suffixes := self._suffixes(folder, number):
            self._remove(gone, folder, number, suffixes)
            number += 1

    def _finish_beside(self, gone: contextlib.ExitStack, folder: int, plain: int) -> None:
        """Do what takes long beside the output: free what is gone, compress the file numbered `plain`."""
        # By descriptors, so that nothing is left behind when the program is killed meanwhile; and a daemon,
        # because a program that ends does not wait for it.
        todo = os.dup(folder), gone.pop_all(), plain
        work = threading.Thread(target=self._finish, args=todo, name="hostler-log-files", daemon=True)
        try:
            work.start()
        except RuntimeError:  # no thread: here, then
            self._finish(*todo)
        else:
            self._work = work

    def _finish(self, folder: int, gone: contextlib.ExitStack, plain: int) -> None:
        gone.close()
        if plain:
            self._squeeze(folder, plain)
        os.close(folder)

    def _squeeze(self, folder: int, number: int) -> None:
        """Compress one file; on a full disk it stays as it is."""
        import gzip  # noqa: PLC0415 - only who compresses needs them
        import shutil  # noqa: PLC0415

        plain, packed = self._numbered(number), self._numbered(number, ".gz")
        # Under another name until it is whole: a crash leaves no half archive that counts.
        part = f"{packed}{_PART}"
        try:
            _remove(part, folder)
            with (
                os.fdopen(os.open(plain, _READ, dir_fd=folder), "rb") as source,
                os.fdopen(os.open(part, _NEW, 0o600, dir_fd=folder), "wb") as target,
                gzip.GzipFile(filename="", fileobj=target, mode="wb", compresslevel=6) as pressed,
            ):
                shutil.copyfileobj(source, pressed, 1024 * 1024)
            _replace(part, packed, folder)
            os.unlink(plain, dir_fd=folder)
        except OSError:
            with contextlib.suppress(OSError):
                _remove(part, folder)


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
