"""On which line each key of a TOML text stands: tomllib does not tell."""

from __future__ import annotations

import re
import tomllib
from bisect import bisect_right
from contextlib import suppress

from hostler.model.schema.tree import KeyPath

# All of these read a text that tomllib has already accepted, so they tell the tokens apart and check nothing.
_SPACE = re.compile(r"(?:[ \t\n]+|#[^\n]*)*")
_KEY = re.compile(r"""[A-Za-z0-9_-]+|"(?:[^"\\]|\\.)*"|'[^']*'""")
_DOT = re.compile(r"[ \t]*\.[ \t]*")
_STRING = re.compile(
    r'"""(?:[^\\]|\\.)*?"{3,5}|' + r"'''.*?'{3,5}|" + r'"(?:[^"\\]|\\.)*"|' + r"'[^']*'",
    re.DOTALL,
)
_SCALAR = re.compile(r"\d{4}-\d\d-\d\d[ Tt]\d\d:[^\s,\]}#]*|[^\s,\]}#]+")


def lines(text: str) -> dict[KeyPath, int]:
    """The line, from 1, of every key and every item of a list in a valid TOML text.

    A path is the keys from the top, with numbers for items of lists. A table stands at its header,
    where it has one, else where its name appears first. What follows a form of TOML that is unknown
    here has no line.
    """
    # tomllib does the same, and its values are what the lines are for.
    text = text.replace("\r\n", "\n")
    scanner = _Scanner(text)
    with suppress(_Unknown):
        scanner.document()
    starts = [found.end() for found in re.finditer("\n", text)]
    return {path: bisect_right(starts, offset) + 1 for path, offset in scanner.offsets.items()}


class _Unknown(Exception):
    """Raised where the text goes on in no way that is known."""


class _Scanner:
    """One walk through a text; `offsets` fills as it goes."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self.offsets: dict[KeyPath, int] = {}
        self._items: dict[KeyPath, int] = {}

    def document(self) -> None:
        table: KeyPath = ()
        self._take(_SPACE)
        while self.at < len(self.text):
            if self.text[self.at] == "[":
                table = self._header()
            else:
                self._pair(table)
            self._take(_SPACE)

    def _take(self, pattern: re.Pattern[str]) -> str:
        found = pattern.match(self.text, self.at)
        if found is None:
            raise _Unknown
        self.at = found.end()
        return found[0]

    def _skip(self, mark: str) -> bool:
        """Step over a mark with the space around it, if it is there."""
        self._take(_SPACE)
        if not self.text.startswith(mark, self.at):
            return False
        self.at += len(mark)
        self._take(_SPACE)
        return True

    def _keys(self) -> list[tuple[str, int]]:
        """A dotted key: its parts and where each of them starts."""
        parts = []
        while True:
            start = self.at
            parts.append((_plain_key(self._take(_KEY)), start))
            if _DOT.match(self.text, self.at) is None:
                return parts
            self._take(_DOT)

    def _header(self) -> KeyPath:
        is_item = self._skip("[[")
        if not is_item:
            self._skip("[")

        keys = self._keys()
        self._skip("]]" if is_item else "]")
        path = self._descend(keys)

        if is_item:
            # The list as a whole stands at its first table; each table has its own line below.
            self.offsets.setdefault(path, keys[-1][1])
            number = self._items[path] = self._items.get(path, -1) + 1
            path = (*path, number)

        self.offsets[path] = keys[-1][1]
        return path

    def _descend(self, keys: list[tuple[str, int]]) -> KeyPath:
        """The path of a header; on the way an array of tables means its last table."""
        path: KeyPath = ()
        for number, (name, offset) in enumerate(keys):
            path = (*path, name)
            if number < len(keys) - 1:
                self.offsets.setdefault(path, offset)
                path = (*path, self._items[path]) if path in self._items else path
        return path

    def _pair(self, table: KeyPath) -> None:
        path = table
        for name, offset in self._keys():
            path = (*path, name)
            self.offsets.setdefault(path, offset)
        self._skip("=")
        self._value(path)

    def _value(self, path: KeyPath) -> None:
        if self._skip("{"):
            while not self._skip("}"):
                self._pair(path)
                self._skip(",")
        elif self._skip("["):
            self._list(path)
        else:
            self._take(_STRING if self.text[self.at] in "\"'" else _SCALAR)

    def _list(self, path: KeyPath) -> None:
        number = 0
        while not self._skip("]"):
            self.offsets[*path, number] = self.at
            self._value((*path, number))
            self._skip(",")
            number += 1


def _plain_key(token: str) -> str:
    if token.startswith('"') and "\\" in token:
        (name,) = tomllib.loads(f"{token} = 0")
        return name
    return token[1:-1] if token[0] in "\"'" else token
