"""The rotated files behind a log file: web.log.1 ... web.log.5, or web.log.1.gz where they are compressed."""

from __future__ import annotations

import contextlib
import os
import threading
from pathlib import Path

_PART = ".part"


class Series:
    """The files that were rotated away, the newest first, by number from 1."""

    def __init__(self, path: Path, keep: int, *, compress: bool) -> None:
        self._path = path
        self._keep = keep
        self._compress = compress
        self._work: threading.Thread | None = None

    def shift(self) -> None:
        """Give every file the next number, and the log file the number 1; the oldest goes."""
        self.settle()

        for number in range(self._free_number(), 1, -1):
            self._rename(number - 1, number)

        if self._keep:
            with contextlib.suppress(FileNotFoundError):
                self._path.replace(self._numbered(1))
        else:
            self._path.unlink(missing_ok=True)

        self._remove_surplus()

        if self._compress and self._keep:
            # Beside the output, which goes on: a daemon, because a program that ends does not wait for it.
            self._work = threading.Thread(target=self._squeeze, name="hostler-compress", daemon=True)
            self._work.start()

    def settle(self) -> None:
        """Wait until the last rotated file is compressed."""
        work, self._work = self._work, None

        if work is not None:
            work.join()

    def _rename(self, old: int, new: int) -> None:
        for suffix in ("", ".gz"):
            with contextlib.suppress(FileNotFoundError):
                self._numbered(old, suffix).replace(self._numbered(new, suffix))
                self._numbered(new, ".gz" if not suffix else "").unlink(missing_ok=True)

    def _free_number(self) -> int:
        """The lowest free number, so that a rotation that failed half-way pushes nothing out; or the last."""
        number = 1

        while number < self._keep and self._exists(number):
            number += 1

        return min(number, self._keep)

    def _exists(self, number: int) -> bool:
        return any(os.path.lexists(self._numbered(number, suffix)) for suffix in ("", ".gz"))

    def _numbered(self, number: int, suffix: str = "") -> Path:
        return Path(f"{self._path}.{number}{suffix}")

    def _remove_surplus(self) -> None:
        """Remove what is left of a time when more files were kept."""
        number = self._keep + 1

        while self._exists(number):
            for suffix in ("", ".gz"):
                self._numbered(number, suffix).unlink(missing_ok=True)

            number += 1

    def _squeeze(self) -> None:
        """Compress the newest; on a full disk it stays as it is."""
        import gzip  # noqa: PLC0415 - only who compresses needs them
        import shutil  # noqa: PLC0415

        plain, packed = self._numbered(1), self._numbered(1, ".gz")
        part = Path(f"{packed}{_PART}")

        try:
            part.unlink(missing_ok=True)

            with (
                plain.open("rb") as source,
                open(part, "xb", opener=_private) as target,
                gzip.GzipFile(filename="", fileobj=target, mode="wb", compresslevel=6) as pressed,
            ):
                shutil.copyfileobj(source, pressed, 1024 * 1024)

            part.replace(packed)
            plain.unlink()
        except OSError:
            with contextlib.suppress(OSError):
                part.unlink(missing_ok=True)


def _private(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
