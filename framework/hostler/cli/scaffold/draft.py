"""Servers as they will stand in a new hostler.toml, and what could not be carried over."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Callable, Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from hostler.config.provenance import as_toml
from hostler.model.interpolation import escape
from hostler.model.schema.tree import below
from hostler.text.command_line import NotACommandLine, split
from hostler.text.sanitize import harmless

Table: TypeAlias = Mapping[str, Any]

_HEAD = """\
#:schema ./hostler.schema.json
# The line above is for editors; `hostler schema > hostler.schema.json` writes what it names.
# Check it with `hostler check`, run it with `hostler run`.
"""
_PORT = re.compile(r"\$(?:\{PORT(?::-[^{}]*)?\}|PORT\b)")
_KEPT = re.compile(rf"{_PORT.pattern}|\$\{{server\.(?:port|host)\}}")
_NOT_IN_A_NAME = re.compile(r"[^A-Za-z0-9_-]+")


@dataclass(frozen=True, slots=True)
class Draft:
    """One server: its name, its keys, and what a comment says of it."""

    name: str
    table: Mapping[str, object]
    comment: str = ""


@dataclass(slots=True)
class Drafts:
    """The servers of a file, and one message, with its line, for all that has no counterpart.

    `lines` are those of keys, by all that lead to them, where a reader of the file knows them.
    """

    label: str = ""
    text: str = ""
    servers: list[Draft] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)
    lines: dict[tuple[str, ...], int] = field(default_factory=dict)

    def add(self, name: str, table: Mapping[str, object], comment: str = "") -> None:
        """Add a server; values of None are no keys."""
        kept = {key: value for key, value in table.items() if value is not None}
        own, taken = named(name), {server.name for server in self.servers}
        if own in taken:
            number = next(
                number for number in range(2, len(taken) + 3) if f"{own[:60]}-{number}" not in taken
            )
            self.left_out.append(
                f"{self.label}: {name}: the name {own} is there twice, written {own[:60]}-{number}"
            )
            own = f"{own[:60]}-{number}"
        self.servers.append(Draft(own, kept, comment))

    def leave_out(self, keys: Iterable[str], why: str = "has no counterpart here") -> None:
        """Note what is not carried over; the keys that lead to it stand in this order in the text."""
        keys = list(keys)
        self.left_out.append(f"{self.label}:{self._line(keys)}: {'.'.join(keys)}: {why}")

    def _line(self, keys: Sequence[str]) -> int:
        """The line of a key: as its reader knows it, else the first below those that lead to it."""
        known = next((n for n in range(len(keys), 0, -1) if tuple(keys[:n]) in self.lines), 0)
        line = self.lines[tuple(keys[:known])] if known else 1
        position = sum(len(row) for row in self.text.splitlines(keepends=True)[: line - 1])
        for key in keys[known:]:
            found = re.compile(rf"(?<![\w-]){re.escape(key)}(?![\w-])").search(self.text, position)
            position = position if found is None else found.start()
        return self.text.count("\n", 0, position) + 1

    def leave_out_rest(self, place: Iterable[str], given: Table, known: AbstractSet[str]) -> None:
        """Note each key of a table that is not one of the known ones."""
        for key in given:
            if key not in known:
                self.leave_out([*place, str(key)])


def named(name: str) -> str:
    """A name that a server may have."""
    return _NOT_IN_A_NAME.sub("-", name).strip("-")[:64] or "server"


def _escaped(line: str) -> str:
    """A script in which only a shell fills in what looks like `${...}`."""
    pieces, position = [], 0
    for found in _KEPT.finditer(line):
        pieces += [escape(line[position : found.start()]), found[0]]
        position = found.end()
    return "".join([*pieces, escape(line[position:])])


def command_of(line: str, written: Callable[[str], str] = _escaped) -> object:
    """The command for a line that a shell ran: a string where none is needed.

    `written` is how a script is written, in which hostler fills in nothing but the port.
    """
    with_port = _PORT.sub("${server.port}", line)
    try:
        split(with_port)
    except NotACommandLine:
        return ["sh", "-c", _PORT.sub("${server.port}", written(line))]
    return with_port


def joined(words: object) -> str:
    """A command as one line, whether it was a line or a list."""
    return shlex.join(map(str, words)) if isinstance(words, list) else str(words)


def refers_to_port(text: str) -> bool:
    """Whether a line asks for the port that it is given."""
    return _PORT.search(text) is not None


def variables(given: object, written: Callable[[str], str] = escape) -> dict[str, str] | None:
    """Variables as a table, from one or a list of NAME=value; compose fills in `${X}` as hostler does."""
    if isinstance(given, list):
        pairs = (str(one).partition("=") for one in given)
        given = {name: value if equals else None for name, equals, value in pairs}
    table = given if isinstance(given, dict) else {}
    # A variable without a value is the one that the tool itself has.
    return {
        str(key): f"${{{key}:-}}" if value is None else written(_text(value)) for key, value in table.items()
    } or None


def _text(value: object) -> str:
    return json.dumps(value) if isinstance(value, bool) else str(value)


def as_file(servers: Iterable[Draft]) -> str:
    """The text of a hostler.toml with these servers."""
    return _HEAD + "".join(map(_section, servers))


def _section(server: Draft) -> str:
    comment = "".join(f"# {harmless(line)}\n" for line in server.comment.splitlines())
    keys = "".join(f"{below('', key)} = {as_toml(value)}\n" for key, value in server.table.items())
    return f"\n{comment}[servers.{server.name}]\n{keys}"
