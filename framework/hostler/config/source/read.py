"""One TOML file on disk to one tree; where it is, and what its syntax errors mostly mean."""

from __future__ import annotations

import tomllib
from functools import cached_property, partial
from pathlib import Path

from msgspec import Struct

from hostler.errors import InvalidConfiguration, Problem
from hostler.files.bounded_read import is_handed_over, read_plain
from hostler.files.namespace import named_namespace
from hostler.model.schema.tree import KeyPath, Node, Place, parse_tree

# A log or a device that is named by mistake is not read into memory as a whole.
_LARGEST_FILE = 4 * 2**20


class Source(Struct, frozen=True):
    """A file as it was named, or what was handed over open: "-" (standard input), `<(command)` of a shell."""

    named: Path

    @property
    def file(self) -> Path | None:
        """The file, absolute; None for what can be read once alone."""
        return None if is_handed_over(self.named) else self.named.absolute()

    @property
    def label(self) -> Path | str:
        """How it is called in messages."""
        return self.named if self.file else str(self.named)

    @property
    def folder(self) -> Path:
        """Where relative paths start: the folder of the file, be it that of a link; else the current one."""
        return Path.cwd() if self.file is None else self.file.parent

    @property
    def namespace(self) -> str:
        """What is the same for one configuration, whatever its links lead to: its path as it was named."""
        if self.file is None:
            return str(Path.cwd() / "-")
        return named_namespace(str(self.named))


def read(path: Path) -> Node:
    """Read a file into a tree of what stands in it.

    Raises InvalidConfiguration when it cannot be read, is not UTF-8, is not TOML, or holds what
    no configuration can hold. Raises OSError as `open` does, and for what is no file.
    """
    text = _text(path)
    source = Source(path)
    label, base = source.label, source.folder

    try:
        values, lines = tomllib.loads(text), _Lines(text)
        return parse_tree(values, lambda at: Place(label, partial(lines.nearest, at), base))
    # tomllib and our walks go one call deeper with each level.
    except RecursionError:
        raise _invalid(path, "nested too deeply") from None
    except ValueError as error:
        raise _syntax_error(path, text, error) from None


def _text(path: Path) -> str:
    data, _ = read_plain(path, _LARGEST_FILE + 1)
    if len(data) > _LARGEST_FILE:
        raise _invalid(path, f"larger than {_LARGEST_FILE // 2**20} MiB: this is no configuration")

    # UTF-16 without a byte order mark is valid UTF-8, in which every other character is NUL.
    if data[1:2] == b"\0" or data[:1] == b"\0":
        raise _invalid(path, "UTF-16, not UTF-8; save the file as UTF-8", 1)

    try:
        # Editors of Windows put a byte order mark first, which TOML does not know.
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        is_wide = data.startswith((b"\xff\xfe", b"\xfe\xff"))
        what = "UTF-16, not UTF-8" if is_wide else f"not UTF-8 (byte 0x{data[error.start]:02X})"
        raise _invalid(path, f"{what}; save the file as UTF-8", line) from None


class _Lines:
    """Where the keys of a text stand, which is found out when a message asks: most files have no mistake."""

    def __init__(self, text: str) -> None:
        self._text = text

    @cached_property
    def _found(self) -> dict[KeyPath, int]:
        from hostler.config.source.positions import lines  # noqa: PLC0415 - see above

        return lines(self._text)

    def nearest(self, path: KeyPath) -> int | None:
        """The line of the value at a path."""
        # What the scanner gave up on is reported at the table around it: near is better than no line.
        while path and path not in self._found:
            path = path[:-1]
        return self._found.get(path)


def _invalid(
    path: Path, message: str, line: int | None = None, column: int | None = None
) -> InvalidConfiguration:
    return InvalidConfiguration([Problem("", message, path, line, column=column)])


def _syntax_error(path: Path, text: str, error: ValueError) -> InvalidConfiguration:
    from hostler.config.source.syntax_errors import SyntaxMistake  # noqa: PLC0415 - most files have none

    mistake = SyntaxMistake.of(text, error)
    return _invalid(path, mistake.message, mistake.line, mistake.column)
