"""One TOML file on disk to one tree; where it is, and what its syntax errors mostly mean."""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from hostler.config.source.positions import lines
from hostler.errors import InvalidConfiguration, Problem
from hostler.files.bounded_read import is_handed_over, read_plain
from hostler.model.schema.paths import tidy
from hostler.model.schema.tree import KeyPath, Node, Place, parse_tree

# A log or a device that is named by mistake is not read into memory as a whole.
_LARGEST_FILE = 4 * 2**20
_EXCERPT_WIDTH = 100
_TWICE = re.compile(r"Cannot declare \((?P<keys>.*?),?\) twice")
_SMART_QUOTES = frozenset("\u201c\u201d\u201e\u2018\u2019")
_WORD = re.compile(r"[A-Za-z_./~-]")
_ALONE = re.compile(r"(?P<word>[A-Za-z]+)\s*(?:[,\]}#].*)?")
_POSITION = re.compile(r" \(at (?:line (\d+), column (\d+)|end of document)\)$")


@dataclass(frozen=True, slots=True)
class Source:
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
        path = tidy(_current_folder() / self.named)
        return str(path) if ".." not in path.parts else str(Path(os.path.realpath(path.parent), path.name))


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
        return parse_tree(values, lambda at: Place(label, _nearest(found, at), base))
    # tomllib and our walks go one call deeper with each level.
    except RecursionError:
        raise _invalid(path, "nested too deeply") from None
    except ValueError as error:
        raise _syntax_error(path, text, error) from None


def _text(path: Path) -> str:
    data, _ = read_plain(path, _LARGEST_FILE + 1)
    if len(data) > _LARGEST_FILE:
        raise _invalid(path, f"larger than {_LARGEST_FILE // 2**20} MiB: this is no configuration")

    try:
        # Editors of Windows put a byte order mark first, which TOML does not know.
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        what = f"not UTF-8 (byte 0x{data[error.start]:02X}); save the file as UTF-8"
        raise _invalid(path, what, line) from None


def _nearest(found: dict[KeyPath, int], path: KeyPath) -> int | None:
    # What the scanner gave up on is reported at the table around it: near is better than no line.
    while path and path not in found:
        path = path[:-1]
    return found.get(path)


def _invalid(
    path: Path, message: str, line: int | None = None, column: int | None = None
) -> InvalidConfiguration:
    return InvalidConfiguration([Problem("", message, path, line, column=column)])


def _syntax_error(path: Path, text: str, error: ValueError) -> InvalidConfiguration:
    position = _POSITION.search(str(error))
    if position is None:
        return _invalid(path, f"not valid TOML: {error}")

    # tomllib counts lines and columns after the same replacement.
    rows = text.replace("\r\n", "\n").rstrip("\n").split("\n")
    line, column = (int(position[1]), int(position[2])) if position[1] else (len(rows), len(rows[-1]) + 1)
    row = rows[min(line, len(rows)) - 1]
    what = str(error)[: position.start()]
    advice = next(_advice(what, row[: column - 1].rstrip(), row[column - 1 :]), "")
    return _invalid(path, f"not valid TOML: {what}{advice}\n{_excerpt(row, column)}", line, column)


def _excerpt(row: str, column: int) -> str:
    """The offending line with a mark below the column, cut where it is long, safe for a terminal."""
    first = 0 if len(row) <= _EXCERPT_WIDTH else max(0, column - 1 - _EXCERPT_WIDTH // 2)
    piece = "".join(letter if letter.isprintable() else " " for letter in row[first : first + _EXCERPT_WIDTH])
    return f"    {piece}\n    {' ' * (column - 1 - first)}^"


# -- where a file is -------------------------------------------------------------------------------


def _current_folder() -> Path:
    """The current folder as the shell calls it, with the links that it was entered by."""
    named = os.environ.get("PWD", "")
    with suppress(OSError):
        if named.startswith("/") and Path(named).samefile("."):
            return Path(named)
    return Path.cwd()


# -- syntax errors ---------------------------------------------------------------------------------


def _other_language(message: str, here: str) -> Iterator[str]:
    """What to do about what another language, or a word processor, would have written."""
    if here in _SMART_QUOTES:
        yield '; write straight quotes, "'

    if here == ":" and message.startswith("Expected ']'"):
        yield "; a server is [servers.NAME]"

    if here == ":" and message.startswith("Expected '='"):
        yield "; TOML has = where YAML and a Procfile have :"

    if message == "Invalid statement" and here in {"/", ";", "{", "-"}:
        yield "; a comment begins with #" if here in "/;" else "; this is no TOML: a server is [servers.NAME]"


def _bare_word(rest: str) -> str:
    """What to do about a word without quotes where a value should be."""
    alone = _ALONE.fullmatch(rest)
    match alone["word"].lower() if alone else "":
        case "yes" | "on" | "true":
            return "; write true, or quotes around a text"
        case "no" | "off" | "false":
            return "; write false, or quotes around a text"
        case "none" | "null" | "nil":
            return "; TOML has no null: leave the key out"
    return "; a text needs quotes"


def _advice(message: str, before: str, rest: str) -> Iterator[str]:
    """What to do about a message of tomllib, where it tells that, or the text before and at its position."""
    here = rest[:1]
    twice = _TWICE.fullmatch(message)
    if twice is not None:
        name = ".".join(key.strip().strip("'\"") for key in twice["keys"].split(","))
        yield f": write the keys of this [{name}] where {name} stands first"

    yield from _other_language(message, here)

    if message == "Cannot overwrite a value":
        yield ": this key is there already"

    if message.startswith("Cannot mutate immutable namespace"):
        yield ": it was written as { ... } above; write the key in there"

    if message.startswith("Invalid initial character for a key part") and before.endswith(("{", ",")):
        yield "; { ... } has to stand on one line, without a comma at its end"

    if message == "Invalid value" and _WORD.match(here) and before.endswith(("=", "[", ",")):
        yield _bare_word(rest)

    if message.startswith(r"Illegal character '\n'"):
        yield "; is a quote missing at the end?"

    if "hex value" in message or message.startswith("Unescaped '\\'"):
        yield r"; in double quotes a \ is written \\, in single quotes it is itself"
