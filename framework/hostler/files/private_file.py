"""Private files: read with bounds, and with a warning when other users can read or change them."""

from __future__ import annotations

import codecs
import os
import stat
from pathlib import Path

from hostler.files.bounded_read import is_handed_over, read_plain
from hostler.files.trusted_path import EVERYBODY, other_writers, read_as_owner

_OTHERS = stat.S_IROTH | stat.S_IWOTH


class Unreadable(Exception):
    """Raised when a value cannot be read; the text is the reason, and never the value."""


class PrivateText:
    """What a file holds, and its mode."""

    def __init__(self, path: Path, text: str, mode: int) -> None:
        self.path = path
        self.text = text
        self.mode = mode

    @property
    def exposed(self) -> bool:
        """Whether every user may read or change it."""
        return bool(self.mode & _OTHERS)

    @property
    def changeable(self) -> bool:
        """Whether every user may change it."""
        return bool(self.mode & stat.S_IWOTH)

    @property
    def warning(self) -> str:
        """The warning when it is exposed."""
        return f"every user of this machine may read or change {self.path}: chmod o-rwx {self.path}"


def read_private(path: Path, *, largest: int) -> PrivateText:
    """Read a plain file of at most `largest` bytes. Raises Unreadable.

    As root, what another user decides about (by a folder, a link or the file itself) is read with the
    rights of that user: nobody has hostler read for them what they may not.
    """
    try:
        others = _outsiders(path) if os.geteuid() == 0 else set()
        if others:
            text = _text(_read_for(others, path, largest + 1), largest)
            return PrivateText(path, text, path.stat().st_mode)
        data, mode = read_plain(path, largest + 1)
    except OSError as error:
        missing = isinstance(error, FileNotFoundError)
        raise Unreadable("there is no such file" if missing else error.strerror or str(error)) from None

    return PrivateText(path, _text(data, largest), mode)


def _outsiders(path: Path) -> set[int]:
    try:
        return other_writers(path)
    except FileNotFoundError:
        if not is_handed_over(path):
            raise
        return set()  # a pipe has no path that leads to it


def _read_for(others: set[int], path: Path, most: int) -> bytes:
    if len(others) > 1 or EVERYBODY in others:
        who = "every user" if EVERYBODY in others else f"users {', '.join(map(str, sorted(others)))}"
        raise Unreadable(f"{who} can change what it leads to: check the owner and mode of its folders")
    (owner,) = others
    return read_as_owner(owner, path, most)


def _text(data: bytes, largest: int) -> str:
    if len(data) > largest:
        raise Unreadable(f"it is larger than {largest // 2**10} KiB")
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise Unreadable("it is UTF-16: save it as UTF-8")
    if b"\0" in data:
        raise Unreadable("it contains a NUL character, which no variable can hold")

    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:  # the error itself would show the value
        raise Unreadable("it is not UTF-8") from None
