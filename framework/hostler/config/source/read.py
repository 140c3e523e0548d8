"""One TOML file on disk to one tree."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

from hostler.config.source.location import Source
from hostler.config.source.positions import lines
from hostler.config.source.toml_hints import hint
from hostler.errors import InvalidConfiguration, Problem
from hostler.files.bounded_read import read_plain
from hostler.model.schema.tree import KeyPath, Node, Place, Unusable, grow

_LARGEST_FILE = 4 * 2**20
_EXCERPT_WIDTH = 100
_POSITION = re.compile(r" \(at (?:line (\d+), column (\d+)|end of document)\)$")


def read(path: Path) -> Node:
    """Read a file into a tree of what stands in it.

    Raises InvalidConfiguration when it cannot be read, is not UTF-8, is not TOML, or holds what
    no configuration can hold. Raises OSError as `open` does, and for what is no file.
    """
    text = _text(path)
    source = Source(path)
    label, base = source.label, source.folder

    try:
        values = tomllib.loads(text)
        found = lines(text)
        return grow(values, lambda at: Place(label, _nearest(found, at), base))
    except RecursionError:
        raise _invalid(path, "nested too deeply") from None
    except Unusable as error:
        place = error.node.place
        raise InvalidConfiguration([Problem(error.node.key, str(error), path, place.line)]) from None
    except ValueError as error:
        raise _syntax_error(path, text, error) from None


def _text(path: Path) -> str:
    data, _ = read_plain(path, _LARGEST_FILE + 1)

    if len(data) > _LARGEST_FILE:
        raise _invalid(path, f"larger than {_LARGEST_FILE // 2**20} MiB: this is no configuration")

    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        byte = data[error.start]
        raise InvalidConfiguration(
            [Problem("", f"not UTF-8 (byte 0x{byte:02X}); save the file as UTF-8", path, line)]
        ) from None


def _nearest(found: dict[KeyPath, int], path: KeyPath) -> int | None:
    while path and path not in found:
        path = path[:-1]

    return found.get(path)


def _invalid(path: Path, message: str) -> InvalidConfiguration:
    return InvalidConfiguration([Problem("", message, path)])


def _syntax_error(path: Path, text: str, error: ValueError) -> InvalidConfiguration:
    position = _POSITION.search(str(error))

    if position is None:
        return _invalid(path, f"not valid TOML: {error}")

    rows = text.replace("\r\n", "\n").rstrip("\n").split("\n")
    line, column = (int(position[1]), int(position[2])) if position[1] else (len(rows), len(rows[-1]) + 1)
    row = rows[min(line, len(rows)) - 1]
    what = hint(str(error)[: position.start()], row, column)
    excerpt = _excerpt(row, column)
    return InvalidConfiguration(
        [Problem("", f"not valid TOML: {what}\n{excerpt}", path, line, column=column)]
    )


def _excerpt(row: str, column: int) -> str:
    """The offending line with a mark below the column, cut where it is long, safe for a terminal."""
    first = 0 if len(row) <= _EXCERPT_WIDTH else max(0, column - 1 - _EXCERPT_WIDTH // 2)
    piece = "".join(letter if letter.isprintable() else " " for letter in row[first : first + _EXCERPT_WIDTH])
    return f"    {piece}\n    {' ' * (column - 1 - first)}^"
