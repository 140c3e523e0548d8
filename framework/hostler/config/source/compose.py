"""A file and all that it extends, merged in order into one tree."""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import reduce
from pathlib import Path

from msgspec.structs import replace

from hostler.config.resolve.interpolation import Names, fill
from hostler.config.source.merge import merge, with_switches
from hostler.config.source.read import Source, read
from hostler.errors import InvalidConfiguration
from hostler.model.schema.diagnostics import Diagnostics, likely, shown
from hostler.model.schema.paths import absolute, is_anchored, tidy
from hostler.model.schema.tree import Node

# Each file of a chain takes some frames of the interpreter's stack.
_LONGEST_CHAIN = 50


class Composer:
    """One load: what was read so far (each file once) and the mistakes met on the way."""

    def __init__(self, environ: Mapping[str, str], found: Diagnostics) -> None:
        self._environ = environ
        self._found = found
        self._done: dict[str, Node | None] = {}
        self.files: list[Path] = []

    def file(self, path: Path, chain: tuple[Path, ...] = ()) -> Node | None:
        """The merged tree of a file, None where it cannot be used. Raises OSError as `open` does."""
        real = os.path.realpath(path)
        self.files += [file for file in [Source(path).file] if file is not None]

        # A file that two others extend is read, and its mistakes are reported, once.
        if real not in self._done:
            try:
                tree = read(path)
            except InvalidConfiguration as error:
                self._found.problems.extend(error.problems)
                self._done[real] = None
            else:
                self._done[real] = self.extended(tree, (*chain, path))

        return self._done[real]

    def extended(self, tree: Node, chain: tuple[Path, ...] = ()) -> Node:
        """A tree laid over all that it extends, without the key `extends`."""
        # Before anything is merged: a bare `false` would replace the options that stand below it.
        tree = with_switches(tree)
        extends = tree.value.get("extends")
        tree = replace(tree, value={name: node for name, node in tree.value.items() if name != "extends"})

        entries = () if extends is None else self._entries(extends)
        layers = [*(self._named(node, chain) for node in entries), tree]
        return reduce(merge, (layer for layer in layers if layer is not None))

    def _entries(self, extends: Node) -> list[Node]:
        filled = fill(extends, Names(self._environ), self._found)
        if isinstance(filled.value, list):
            return filled.value
        example = shown(extends) if isinstance(extends.value, str) else '"base.toml"'
        self._found.expected(extends, f"a list of paths, such as [{example}]")
        return []

    def _named(self, node: Node, chain: tuple[Path, ...]) -> Node | None:
        if not isinstance(node.value, str) or not node.value or "\0" in node.value:
            self._found.expected(node, "the path of a file")
            return None

        try:
            path = self._path(node)
        except ValueError as error:
            self._found.expected(node, str(error))
            return None

        if not self._is_allowed(node, path, chain):
            return None

        try:
            return self.file(path, chain)
        except OSError as error:
            is_missing = isinstance(error, FileNotFoundError)
            reason = _why_missing(node.value) if is_missing else error.strerror
            proposal = _neighbour(path, node) if is_missing else ""
            self._found.add(node, f"{shown(node)} cannot be read: {reason}", proposal=proposal)
            return None

    def _path(self, node: Node) -> Path:
        """The path of an extended file, as relative as that of the file that names it."""
        if is_anchored(node.value) or not isinstance(node.place.file, Path):
            return absolute(node.value, node.place.base, self._environ)
        return tidy(node.place.file.parent / node.value)

    def _is_allowed(self, node: Node, path: Path, chain: tuple[Path, ...]) -> bool:
        files = [os.path.realpath(file) for file in chain]
        real = os.path.realpath(path)
        if real in files:
            cycle = (*chain[files.index(real) :], path)
            self._found.add(node, f"files extend each other in a cycle: {' -> '.join(map(str, cycle))}")
        elif len(chain) >= _LONGEST_CHAIN:
            self._found.add(node, f"more than {_LONGEST_CHAIN} files extend one another")
        else:
            return True

        return False


def _why_missing(written: str) -> str:
    if "://" in written:
        return "it is a URL; write the path of a file"
    is_pattern = set(written) & set("*?[")
    return f"there is no such file{'; no patterns: write the path of each' if is_pattern else ''}"


def _neighbour(path: Path, node: Node) -> str:
    """The file beside the one that is missing which was probably meant, written as the missing one was."""
    try:
        own = Path(str(node.place.file)).name
        there = [one.name for one in path.parent.iterdir() if one.suffix == path.suffix and one.name != own]
    except OSError:
        return ""
    name = likely(path.name, there)
    # Where a variable is part of the path, a proposal would show what it holds.
    return node.value.removesuffix(path.name) + name if name and node.source_text is None else ""
