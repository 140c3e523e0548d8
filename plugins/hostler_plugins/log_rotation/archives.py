"""The rotated files behind a log file: web.log.1 ... web.log.5, or web.log.1.gz where they are compressed."""

from __future__ import annotations

import contextlib
import os
import stat
import threading
from itertools import count, islice

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
        numbers = list(islice((each for each in count(1) if not self._is_blocked(folder, each)), self._keep))
        free = next(
            (at for at, each in enumerate(numbers) if not self._exists(folder, each)), len(numbers) - 1
        )
        for at in range(free, 0, -1):  # up to a gap, which a rotation that failed half-way has left
            self._rename(folder, numbers[at - 1], numbers[at])

        if not numbers:
            _remove(self._name, folder)
            return

        with contextlib.suppress(FileNotFoundError):
            _replace(self._name, self._numbered(numbers[0]), folder)

        with contextlib.suppress(OSError):  # what is left to do costs no output
            self._tidy(folder, numbers)

    def settle(self) -> None:
        """Wait until the last rotated file is compressed."""
        work, self._work = self._work, None
        if work is not None:
            work.join()

    def _rename(self, folder: int, old: int, new: int) -> None:
        for suffix in ("", ".gz"):
            with contextlib.suppress(FileNotFoundError):
                _replace(self._numbered(old, suffix), self._numbered(new, suffix), folder)
                _remove(self._numbered(new, ".gz" if not suffix else ""), folder)

    def _exists(self, folder: int, number: int) -> bool:
        return any(_is_there(self._numbered(number, suffix), folder) for suffix in ("", ".gz"))

    def _numbered(self, number: int, suffix: str = "") -> str:
        return f"{self._name}.{number}{suffix}"

    def _is_blocked(self, folder: int, number: int) -> bool:
        """Whether a number's name is that of a folder, which no file can replace."""
        return any(_is_folder(self._numbered(number, suffix), folder) for suffix in ("", ".gz"))

    def _tidy(self, folder: int, numbers: list[int]) -> None:
        """Compress the newest, and remove what is left of a time when more files were kept."""
        if self._compress:
            # Beside the output, which goes on: a daemon, because a program that ends does not wait for it.
            self._work = threading.Thread(
                target=self._squeeze, args=(os.dup(folder), numbers[0]), name="hostler-compress", daemon=True
            )
            self._work.start()

        number = numbers[-1] + 1
        while self._exists(folder, number) and not self._is_blocked(folder, number):
            for suffix in ("", ".gz"):
                _remove(self._numbered(number, suffix), folder)
            number += 1

    def _squeeze(self, folder: int, number: int) -> None:
        """Compress one file; on a full disk it stays as it is. Closes the descriptor."""
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
        finally:
            os.close(folder)


def _replace(old: str, new: str, folder: int) -> None:
    os.replace(old, new, src_dir_fd=folder, dst_dir_fd=folder)


def _remove(name: str, folder: int) -> None:
    with contextlib.suppress(FileNotFoundError):
        os.unlink(name, dir_fd=folder)


def _is_there(name: str, folder: int) -> bool:
    return _mode(name, folder) is not None


def _is_folder(name: str, folder: int) -> bool:
    mode = _mode(name, folder)
    return mode is not None and stat.S_ISDIR(mode)


def _mode(name: str, folder: int) -> int | None:
    try:
        return os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode
    except (FileNotFoundError, NotADirectoryError):
        return None
