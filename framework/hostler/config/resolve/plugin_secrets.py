"""Secrets among the options of a plugin: tables where its class declares the type Secret."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from hostler.errors import PluginError
from hostler.model.interpolation import escape, expand, names
from hostler.model.schema.diagnostics import Diagnostics
from hostler.model.schema.external_values import anchored_secret, secret
from hostler.model.schema.tree import Node
from hostler.model.spec import PluginSpec
from hostler.secrets.reference import Secret


def with_secrets(node: Node, spec: PluginSpec, environ: Mapping[str, str], found: Diagnostics) -> Node:
    """The table of a plugin with its secrets checked, and their files absolute."""
    return _changed(node, spec, lambda table: _read(table, environ, found))


def anchored_secrets(node: Node, spec: PluginSpec) -> Node:
    """The table of a plugin with the files of its secrets written so that any folder sees the same."""
    return _changed(node, spec, anchored_secret)


def _changed(node: Node, spec: PluginSpec, change: Callable[[Node], Node]) -> Node:
    changed = {table.key: change(table) for table in _secrets(node, spec)}
    return _with(node, changed) if changed else node


def _with(node: Node, changed: Mapping[str, Node]) -> Node:
    match node.value:
        case _ if node.key in changed:
            return changed[node.key]
        case dict() as table:
            return replace(node, value={name: _with(child, changed) for name, child in table.items()})
        case list() as items:
            return replace(node, value=[_with(child, changed) for child in items])
        case _:
            return node


def _read(table: Node, environ: Mapping[str, str], found: Diagnostics) -> Node:
    """A table with its source in full; as all options it is a template, filled in again at the start."""
    source = table.value.get("secret")

    if source is not None and source.raw is not None and isinstance(source.value, str):
        if names(source.value):
            found.add(source, "where a secret is has to be known before the start, without ports of servers")
            return table

        source = replace(source, value=expand(source.value, lambda _: None))
        table = replace(table, value=table.value | {"secret": source})

    value = secret(table, environ, found)

    if value is None:
        return table

    return replace(table, value={"secret": replace(source, value=escape(value.secret))})


def _secrets(node: Node, spec: PluginSpec) -> list[Node]:
    if not any(isinstance(child.value, dict) and "secret" in child.value for child in node.walk()):
        return []

    from hostler.plugins.options import (  # noqa: PLC0415 - imports what only few need
        option_fields,
        option_type,
        plugin_class,
    )

    try:
        class_ = plugin_class(spec)
        kinds = {name: option_type(class_, field) for name, field in option_fields(class_).items()}
    except PluginError:  # told where the options are checked
        return []

    return [
        table
        for name, child in node.value.items()
        if name in kinds
        for table in _declared(child, kinds[name])
    ]


def _declared(node: Node, kind: Any) -> Iterator[Node]:
    """The tables at and below a value that its type makes secrets."""
    inner = get_args(kind)

    if kind is Secret:
        yield from [node] if isinstance(node.value, dict) else []
    elif get_origin(kind) in {Union, UnionType}:
        for one in inner:
            yield from _declared(node, one)
    elif get_origin(kind) is Annotated:
        yield from _declared(node, inner[0])
    elif inner:
        for child in node.children:
            yield from _declared(child, inner[-1] if isinstance(node.value, dict) else inner[0])
