"""How one layer lies over another, and what lies over the files: chosen profiles, then single settings."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import reduce

from msgspec import Struct
from msgspec.structs import replace

from hostler.config.source.overrides import Setting, Settings, settings_of, tree_of
from hostler.errors import Problem
from hostler.model.schema.diagnostics import Diagnostics, likely
from hostler.model.schema.server_keys import (
    IN_DEFAULTS,
    IN_PROFILE,
    IN_SERVER,
    IN_TEMPLATE,
    LAYER,
    RESTART_KEYS,
    SERVER_KEYS,
    TOP,
)
from hostler.model.schema.tree import Node, below, labelled, moved, quoted

_MAKES_A_SERVER = frozenset({"command", "template", "plugins"})
_REFERENCE = re.compile(r"\$\{[^{}]*\}")
_ANY = "*"
"""Every key of a table, in a path."""


class Layers(Struct, frozen=True):
    """The names of profiles and the settings, in order."""

    profiles: Sequence[str]
    settings: Sequence[Setting]

    @classmethod
    def of(cls, profiles: Iterable[str], settings: Settings) -> Layers:
        """What a caller gives: one profile may be a string, settings a mapping."""
        return cls((profiles,) if isinstance(profiles, str) else tuple(profiles), settings_of(settings))

    def over(self, tree: Node, found: Diagnostics) -> Node:
        """The tree with all of them laid over it, without the key `profiles`."""
        profiles = _profiles(tree, found)
        base = replace(tree, value={name: node for name, node in tree.value.items() if name != "profiles"})
        merged = base

        # Also a profile that is not chosen may change only what the files, or some profile, have.
        _without_misspelt(base, reduce(merge, profiles.values(), base), found)

        for name in self.profiles:
            if name in profiles:
                merged = merge(merged, profiles[name])
            else:
                _note_unknown(name, profiles, tree, found)

        for setting in self.settings:
            merged = _with_setting(merged, tree_of(setting), found)

        return _without_misspelt(base, merged, found)


def _profiles(tree: Node, found: Diagnostics) -> dict[str, Node]:
    """The profiles that can be used, each as a tree like that of a file; all of them are checked."""
    table = tree.value.get("profiles")
    if table is None:
        return {}
    if not isinstance(table.value, dict):
        found.expected(table, "a table of profiles, [profiles.NAME]")
        return {}
    return {name: labelled(_profile(node, found), f"profile {name}") for name, node in table.value.items()}


def _profile(node: Node, found: Diagnostics) -> Node:
    if not isinstance(node.value, dict):
        found.expected(node, f"a table of {', '.join(IN_PROFILE[:-1])} and {IN_PROFILE[-1]}")
        return replace(node, value={})

    for name, child in node.value.items():
        if name not in IN_PROFILE:
            found.unknown(child, name, IN_PROFILE, what=f"unknown key{_belongs(node.key, name, child)}")
        elif not isinstance(child.value, dict):
            below_it = "" if name in {"defaults", "control"} else ".NAME"
            found.expected(child, f"a table, [{child.key}{below_it}]")

    parts = {
        name: child
        for name, child in node.value.items()
        if name in IN_PROFILE and isinstance(child.value, dict)
    }
    for name, child in parts.items():
        if name in LAYER:
            _check_keys(child, IN_SERVER if name == "servers" else IN_TEMPLATE, found)
        elif name == "defaults":
            _check_table(child, IN_DEFAULTS, found)
        elif name == "control":
            from hostler.model.schema.control_keys import CONTROL_KEYS  # noqa: PLC0415 - few have it

            _check_table(child, tuple(CONTROL_KEYS), found)

    return replace(node, value={name: moved(child, name) for name, child in parts.items()})


def _belongs(profile: str, name: str, node: Node) -> str:
    """Where a key of a profile was meant, for a message."""
    if name in SERVER_KEYS:
        return f"; it is a key of a server: write it below [{profile}.servers.NAME]"
    if name in TOP:
        return "; it belongs to the top of the file, above the first [table]"
    is_server = bool(node.table.keys() & SERVER_KEYS.keys())
    return f"; write [{profile}.servers.{name}]" if is_server else ""


def _check_keys(servers: Node, allowed: Sequence[str], found: Diagnostics) -> None:
    """Look for keys that no server has: also a profile that is not chosen is to be free of them."""
    for server in servers.table.values():
        _check_table(server, allowed, found)


def _check_table(server: Node, allowed: Sequence[str], found: Diagnostics) -> None:
    restart = server.table["restart"].table if "restart" in server.table else {}
    for table, known in ((server.table, allowed), (restart, RESTART_KEYS)):
        for name, node in table.items():
            if name not in known:
                found.unknown(node, name, known)


def _note_unknown(name: str, profiles: Mapping[str, Node], tree: Node, found: Diagnostics) -> None:
    there_are = f"; there are: {', '.join(profiles)}" if profiles else "; there are no profiles"
    message = f"there is no profile {quoted(name)}{there_are}"
    found.problems.append(Problem("profiles", message, tree.place.file, None, likely(name, profiles)))


def _with_setting(tree: Node, setting: Node, found: Diagnostics) -> Node:
    """Lay one setting over the tree; only what a profile may have can be set."""
    for name, node in setting.value.items():
        if name not in IN_PROFILE:
            found.unknown(node, name, IN_PROFILE, what="this cannot be set")
            return tree
    return merge(tree, with_switches(setting))


def _without_misspelt(base: Node, merged: Node, found: Diagnostics) -> Node:
    """Take a server that a layer adds without anything to run for the misspelt name of another."""
    known, servers = _servers(base), _servers(merged)
    # Where the files have no server at all, a layer may add the first: there is no name to misspell.
    wrong = {
        name: node
        for name, node in servers.items()
        if known
        and name not in known
        and isinstance(node.value, dict)
        and not _MAKES_A_SERVER & set(node.value)
    }
    if not wrong:
        return merged
    for name, node in wrong.items():
        found.unknown(node, name, known, what=f"there is no server {quoted(name)} to change")
    rest = {name: node for name, node in servers.items() if name not in wrong}
    return replace(merged, value=merged.value | {"servers": replace(merged.value["servers"], value=rest)})


def _servers(tree: Node) -> dict[str, Node]:
    return tree.table["servers"].table if "servers" in tree.table else {}


# -- one layer over another ------------------------------------------------------------------------


def merge(old: Node, new: Node) -> Node:
    """Lay `new` over `old`; a key keeps the place in the order where it first appeared."""
    if not isinstance(old.value, dict) or not isinstance(new.value, dict):
        return new
    table = dict(old.value)
    for name, child in new.value.items():
        table[name] = merge(table[name], child) if name in table else child
    return replace(new, value=table)


def with_switches(tree: Node) -> Node:
    """The tree with each plugin's `true` and `false` as a table, which merges, and each command as a list."""
    for above in ((), ("profiles", _ANY)):
        tree = _changed_at(tree, (*above, "listeners", _ANY), _switch)
    for layer in (("defaults",), *((name, _ANY) for name in LAYER)):
        for above in ((), ("profiles", _ANY)):
            tree = _changed_at(tree, (*above, *layer, "plugins", _ANY), _switch)
            tree = _changed_at(tree, (*above, *layer, "command"), _split)
    return tree


def _switch(plugin: Node) -> Node:
    return replace(plugin, value={}, off=not plugin.value) if isinstance(plugin.value, bool) else plugin


def _split(command: Node) -> Node:
    """A command that is one string as a list; one that cannot be split is reported where it is read."""
    # One reference alone may be a list: it is split, if it is a string, where it is read.
    if not isinstance(command.value, str) or _REFERENCE.fullmatch(command.value):
        return command
    from hostler.text.command_line import NotACommandLine, split  # noqa: PLC0415 - few commands are one string

    try:
        words = split(command.value)
    except NotACommandLine:
        return command
    return replace(
        command,
        value=[Node(word, command.place, below(command.key, number)) for number, word in enumerate(words)],
    )


def _changed_at(node: Node, path: Sequence[str], change: Callable[[Node], Node]) -> Node:
    """The same tree, changed in all places that a path leads to."""
    if not path:
        return change(node)
    first, *rest = path
    names = node.table if first == _ANY else {first} & node.table.keys()
    changed = {name: _changed_at(node.value[name], rest, change) for name in names}
    is_other = any(child is not node.value[name] for name, child in changed.items())
    return replace(node, value=node.value | changed) if is_other else node
