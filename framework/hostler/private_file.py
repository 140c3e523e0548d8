"""Files with values that are not for everybody: read with bounds, and a word when others can get at them."""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass, field
from pathlib import Path

_FLAGS = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC  # neither a pipe nor a terminal holds us up
_OTHERS = stat.S_IROTH | stat.S_IWOTH


class Unreadable(Exception):
    """Raised when a value cannot be had; the text is the reason, and never what stands there."""


@dataclass(frozen=True, slots=True)
class PrivateText:
    """What a file holds. `exposed` tells that every user may read or change it, by its mode."""

    path: Path
    text: str = field(repr=False)
    exposed: bool

    @property
    def warning(self) -> str:
        """What to say when it is exposed."""
        return f"every user of this machine may read or change {self.path}: chmod o-rwx {self.path}"


def read_private(path: Path, *, largest: int) -> PrivateText:
    """Read a plain file of at most `largest` bytes. Raises Unreadable."""
    try:
        descriptor = os.open(path, _FLAGS)

        try:
            mode = os.fstat(descriptor).st_mode
            data = _read(descriptor, largest + 1) if stat.S_ISREG(mode) else None
        finally:
            os.close(descriptor)
    except OSError as error:
        missing = isinstance(error, FileNotFoundError)
        raise Unreadable("there is no such file" if missing else error.strerror or str(error)) from None

    if data is None:
        raise Unreadable("it is no plain file")

    return PrivateText(path, _text(data, largest), bool(mode & _OTHERS))


def _read(descriptor: int, most: int) -> bytes:
    data = b""

    while len(data) < most and (more := os.read(descriptor, most - len(data))):
        data += more

    return data


def _text(data: bytes, largest: int) -> str:
    if len(data) > largest:
        raise Unreadable(f"it is larger than {largest // 2**10} KiB")

    if b"\0" in data:
        raise Unreadable("it holds a NUL character, which no variable can")

    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:  # the error itself would tell what stands there
        raise Unreadable("it is not UTF-8") from None
