"""The rotated files behind a log file: web.log.1 ... web.log.5, or web.log.1.gz where they are compressed."""

from __future__ import annotations

import contextlib
import os
import threading

_PART = ".part"
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


class Series:
    """The files that were rotated away, the newest first, by number from 1.

    `folder` is a descriptor of the folder that they are in: wherever its path leads meanwhile.
    """

    def __init__(self, name: str, keep: int, *, compress: bool) -> None:
        self._name = name
        self._keep = keep
        self._compress = compress
        self._work: threading.Thread | None = None

    def shift(self, folder: int) -> None:
        """Give every file the next number, and the log file the number 1; the oldest goes."""
        self.settle()

        for number in range(self._free_number(folder), 1, -1):
            self._rename(folder, number - 1, number)

        if self._keep:
            with contextlib.suppress(FileNotFoundError):
                _replace(self._name, self._numbered(1), folder)
        else:
            _remove(self._name, folder)

        self._remove_surplus(folder)

        if self._compress and self._keep:
            # Beside the output, which goes on: a daemon, because a program that ends does not wait for it.
            self._work = threading.Thread(
                target=self._squeeze, args=(os.dup(folder),), name="hostler-compress", daemon=True
            )
            self._work.start()

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

    def _free_number(self, folder: int) -> int:
        """The lowest free number, so that a rotation that failed half-way pushes nothing out; or the last."""
        number = 1

        while number < self._keep and self._exists(folder, number):
            number += 1

        return min(number, self._keep)

    def _exists(self, folder: int, number: int) -> bool:
        return any(_is_there(self._numbered(number, suffix), folder) for suffix in ("", ".gz"))

    def _numbered(self, number: int, suffix: str = "") -> str:
        return f"{self._name}.{number}{suffix}"

    def _remove_surplus(self, folder: int) -> None:
        """Remove what is left of a time when more files were kept."""
        number = self._keep + 1

        while self._exists(folder, number):
            for suffix in ("", ".gz"):
                _remove(self._numbered(number, suffix), folder)

            number += 1

    def _squeeze(self, folder: int) -> None:
        """Compress the newest; on a full disk it stays as it is. Closes the descriptor."""
        import gzip  # noqa: PLC0415 - only who compresses needs them
        import shutil  # noqa: PLC0415

        plain, packed = self._numbered(1), self._numbered(1, ".gz")
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
    try:
        os.stat(name, dir_fd=folder, follow_symlinks=False)
    except (FileNotFoundError, NotADirectoryError):
        return False

    return True
