"""The tree of a configuration, in which every value knows where it stands."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path, PurePath
from typing import Any, TypeAlias

from msgspec import Struct
from msgspec.structs import replace

from hostler.errors import InvalidConfiguration, Problem
from hostler.model.interpolation import expand

KeyPath: TypeAlias = tuple[str | int, ...]

_BARE = re.compile(r"[A-Za-z0-9_-]+")
_LONGEST_TEXT = 80
# The tree is walked by recursion, and no configuration is nested so deep.
_DEEPEST = 50
# TOML promises 64 bits and no more; what reads the values later need not look.
_WIDEST_INTEGER = 2**63


class Place(Struct, frozen=True):
    """Where a value stands: the file as the user named it, the line, and where relative paths start.

    `file` is a str where it is no file, such as "--set servers.web.port=3000". `find_line` is asked for the
    line when somebody wants to know it. `within` tells what it is a part of there, such as "profile ci".
    """

    file: Path | str | None
    find_line: Callable[[], int | None] | None
    base: Path
    within: str = ""

    @property
    def line(self) -> int | None:
        """The line, from 1; None where there is none."""
        return None if self.find_line is None else self.find_line()


class Node(Struct, frozen=True):
    """One value: a dict or list of nodes, or a scalar.

    `source_text` is the text before `${...}` was filled in, where there was any. `off` marks a plugin that
    is switched off; its options are kept.
    """

    value: Any
    place: Place
    key: str
    source_text: str | None = None
    off: bool = False

    @property
    def table(self) -> dict[str, Node]:
        """The values of a table by key; none where this is no table."""
        return self.value if isinstance(self.value, dict) else {}

    @property
    def children(self) -> list[Node]:
        """The values directly below this one."""
        return self.value if isinstance(self.value, list) else list(self.table.values())

    def at(self, *keys: str) -> Node:
        """The value at a path, or the last table on the way where there is none."""
        node = self
        for key in keys:
            if key not in node.table:
                break
            node = node.table[key]
        return node

    def walk(self, *, active: bool = False) -> Iterator[Node]:
        """This value and all below it; with `active` without plugins that are switched off."""
        if self.off and active:
            return
        yield self
        for child in self.children:
            yield from child.walk(active=active)


def parse_tree(value: object, place: Callable[[KeyPath], Place], path: KeyPath = (), key: str = "") -> Node:
    """Build the tree of plain values; `place` tells where the value at a path stands.

    Raises InvalidConfiguration for what no configuration can hold.
    """
    here = place(path)

    if len(path) > _DEEPEST:
        raise _unusable(here, key, f"nested deeper than {_DEEPEST} levels")

    match value:
        case str():  # first: most are, and to look for a Mapping takes longest
            return Node(value, here, key)
        case Mapping():
            return Node(_branches(value, place, path, key), here, key)
        case list() | tuple():
            items = [parse_tree(v, place, (*path, i), below(key, i)) for i, v in enumerate(value)]
            return Node(items, here, key)
        case int() if abs(value) >= _WIDEST_INTEGER:
            raise _unusable(here, key, "a number of more than 64 bits")
        case PurePath():
            return Node(str(value), here, key)
        case _:
            return Node(value, here, key)


def _unusable(place: Place, key: str, message: str) -> InvalidConfiguration:
    return InvalidConfiguration([Problem(key, message, place.file, place.line)])


def _branches(
    table: Mapping[object, object], place: Callable[[KeyPath], Place], path: KeyPath, key: str
) -> dict[str, Node]:
    branches = {}
    for name, value in table.items():
        if not isinstance(name, str):
            raise _unusable(place(path), key, "a key that is not a string")
        # One key for the tables of all servers: each would keep a dozen strings of its own.
        shared = sys.intern(str.__str__(name))
        branches[shared] = parse_tree(value, place, (*path, name), below(key, name))
    return branches


def below(key: str, part: str | int) -> str:
    """The dotted key of a value inside another: `a.b`, `a."b c"`, `a[0]`."""
    if isinstance(part, int):
        return f"{key}[{part}]"
    name = part if _BARE.fullmatch(part) else quoted(part)
    return f"{key}.{name}" if key else name


def with_children(node: Node, change: Callable[[Node], Node]) -> Node:
    """The same value with each of those directly below it changed."""
    match node.value:
        case dict() as table:
            return replace(node, value={name: change(child) for name, child in table.items()})
        case list() as items:
            return replace(node, value=[change(child) for child in items])
        case _:
            return node


def moved(node: Node, key: str) -> Node:
    """The same value under another dotted key."""
    there = with_children(node, lambda child: moved(child, key + child.key.removeprefix(node.key)))
    return replace(there, key=key)


def labelled(node: Node, within: str) -> Node:
    """The same value, marked as a part of something, such as "profile ci"."""
    there = with_children(node, lambda child: labelled(child, within))
    return replace(there, place=replace(node.place, within=within))


def quoted(text: str) -> str:
    """A text as it would stand in TOML, on one line, cut where it is long."""
    import json  # noqa: PLC0415 - only messages need it

    if len(text) > _LONGEST_TEXT:
        text = text[:_LONGEST_TEXT] + "..."
    return json.dumps(text, ensure_ascii=not text.isprintable())


def plain(node: Node) -> Any:
    """The values alone; a plugin that is switched off is False."""
    return _values(node, lambda scalar: scalar.value)


def unfilled(node: Node) -> Any:
    """The values alone, with every `${...}` as it was written."""
    return _values(node, lambda scalar: scalar.value if scalar.source_text is None else scalar.source_text)


def portable(node: Node) -> Any:
    """The values alone, written so that they mean the same in any folder: `${config.dir}` is filled in."""
    return _values(node, _without_folder)


def _values(node: Node, scalar: Callable[[Node], object]) -> Any:
    if node.off:
        return False

    match node.value:
        case dict() as table:
            return {name: _values(child, scalar) for name, child in table.items()}
        case list() as items:
            return [_values(child, scalar) for child in items]
        case _:
            return scalar(node)


def _without_folder(node: Node) -> object:
    if node.source_text is None:
        return node.value
    return expand(node.source_text, lambda _: str(node.place.base), keep=lambda name: name != "config.dir")
