"""From a server's table of plugins to their specs, each checked by the plugin's own class."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from types import UnionType
from typing import Annotated, Any, TypeVar, Union, get_args, get_origin

from msgspec.structs import replace

from hostler.config.resolve.context import ResolveContext
from hostler.errors import PluginError, Problem
from hostler.model.interpolation import escape, expand, names
from hostler.model.schema import foreign_words
from hostler.model.schema.diagnostics import Diagnostics, shown, written
from hostler.model.schema.external_values import located, secret
from hostler.model.schema.fields import word
from hostler.model.schema.server_keys import SERVER_KEYS
from hostler.model.schema.tree import Node, plain, quoted, unfilled, with_children
from hostler.model.secret import Secret
from hostler.model.spec import PluginSpec, replace_unchecked

Spec = TypeVar("Spec", bound=PluginSpec)


def read_plugins(node: Node, found: Diagnostics, context: ResolveContext) -> tuple[PluginSpec, ...] | None:
    """The plugins that are switched on, in order; mistakes go to the findings."""
    if not isinstance(node.value, dict):
        named = node.value if isinstance(node.value, list) else [node]
        words = [written(one.table.get("name", one)) for one in named]
        example = ", ".join(f"{word} = true" for word in words if word)
        found.expected(node, f"a table of plugins{example and f', such as {{ {example} }}'}")
        return None
    return tuple(
        read_plugin(PluginSpec, name, child, context, found)
        for name, child in node.value.items()
        if not _is_key_of_server(name, child, node, found)
        and not is_off(bare(PluginSpec, name), child, found)
    )


@lru_cache(maxsize=64)
def bare(kind: type[Spec], name: str) -> Spec:
    """A plugin without options; hundreds of servers have the same ones, and to make a spec is to check it."""
    return kind(name)


def _is_key_of_server(name: str, node: Node, plugins: Node, found: Diagnostics) -> bool:
    """Whether a key of the server stands below the header of its plugins: the commonest slip in TOML."""
    if "use" in node.table:
        return False
    if name == "plugins":
        found.add(node, f"plugins stands there twice: write [{plugins.key}]")
        return True
    if name in SERVER_KEYS:
        found.add(node, f"{name} is a key of the server: write it above [{plugins.key}]")
        return True
    is_option = not isinstance(node.value, bool | dict) and not node.off and name.isidentifier()
    advice = foreign_words.advice(name)
    if not (advice or (is_option and ":" not in written(node))) or _is_installed(name):
        return False
    example = f"an option stands in the table of its plugin, PLUGIN = {{ {name} = ... }}"
    found.add(node, f"it is no plugin; {advice or example}")
    return True


def _is_installed(name: str) -> bool:
    from hostler.plugins.discovery import installed  # noqa: PLC0415 - only a word of another tool needs it

    return name in installed()


def is_off(spec: PluginSpec, node: Node, found: Diagnostics) -> bool:
    """Whether a plugin is switched off, or is nothing that could be switched on, which is noted."""
    if not node.off and not isinstance(node.value, dict):
        found.expected(node, f"true, false or a table of options{_meant_options(spec, node)}")
        return True
    return node.off


def _meant_options(spec: PluginSpec, node: Node) -> str:
    """What a value in the place of the options was probably meant as, for a message."""
    flag = {"true": "true", "false": "false", "1": "true", "0": "false", "yes": "true", "no": "false"}
    meant = flag.get(str(node.value).lower()) if node.source_text is None else None
    if meant:
        return f" (write {meant})"
    if ":" in written(node) and not _is_installed(spec.name):
        return f", such as {{ use = {quoted(written(node))} }}"
    from hostler.plugins.options import example_of  # noqa: PLC0415 - only this message needs it

    example = example_of(spec, plain(node)) if node.source_text is None else ""
    return f", such as {example}" if example else ""


def read_plugin(kind: type[Spec], name: str, node: Node, context: ResolveContext, found: Diagnostics) -> Spec:
    """The spec of one plugin that is switched on; mistakes go to the findings."""
    use = _use(node.value["use"], context.environ, found) if "use" in node.value else None
    spec: Spec = bare(kind, name)  # type: ignore[arg-type]  # every class is hashable
    spec = replace_unchecked(spec, options=_options(node, plain), use=use)
    filled = map_secrets(node, spec, lambda table: _read_secret(table, context.environ, found))
    if filled is not node:
        node, spec = filled, replace_unchecked(spec, options=_options(filled, plain))
    if not found.has_problem(node):
        found.problems.extend(_problems(node, spec, context.classes.find))
    return spec


def _options(node: Node, values: Callable[[Node], object]) -> dict[str, object]:
    return {key: values(child) for key, child in node.value.items() if key != "use"}


def _use(node: Node, environ: Mapping[str, str], found: Diagnostics) -> str | None:
    """The class that a plugin is made of; a file is made absolute, seen from the file that names it."""
    use = word(node, found)
    if use is None or not is_file(use):
        return use
    file = located(use, node, found, environ)
    return None if file is None else str(file)


def is_file(use: str) -> bool:
    """Whether `use` names a file and not a module."""
    place = use.rpartition(":")[0]
    return place.endswith(".py") or "/" in place


def _problems(node: Node, spec: PluginSpec, find: Callable[[PluginSpec], type]) -> list[Problem]:
    """What the plugin says of its options, with the place of each."""
    from hostler.plugins.options import option_problems  # noqa: PLC0415 - imports what only servers with plugins need

    said = option_problems(spec, find)
    if said and any(child.source_text is not None for child in node.walk()):
        # What a plugin says may quote an option, and so the value of a variable.
        said = _without_values(said, option_problems(_unfilled(node, spec), find), node)
    return [_placed(problem, node) for problem in said]


def _unfilled(node: Node, spec: PluginSpec) -> PluginSpec:
    use = node.value.get("use")
    return replace_unchecked(
        spec, options=_options(node, unfilled), use=None if use is None else unfilled(use)
    )


def _without_values(said: list[Problem], of_raw: list[Problem], node: Node) -> list[Problem]:
    """Tell what is said of the raw text too, in its words, which cannot show what a variable holds."""
    raw = {(one.key, one.message.partition(", found ")[0]): one for one in of_raw}
    return [
        raw.get((problem.key, problem.message.partition(", found ")[0]))
        or Problem(problem.key, f"not accepted by the plugin; it was read from {_sources(problem, node)}")
        for problem in said
    ]


def _sources(problem: Problem, node: Node) -> str:
    key = f"{node.key}.{problem.key}"
    filled = [child for child in node.walk() if child.source_text is not None]
    culprits = [child for child in filled if child.key == key] or filled
    return ", ".join(shown(child) for child in culprits)


def _placed(problem: Problem, node: Node) -> Problem:
    key = f"{node.key}.{problem.key}" if problem.key else node.key
    within = [child for child in node.walk() if f"{key}.".startswith((f"{child.key}.", f"{child.key}["))]
    place = max(within, key=lambda child: len(child.key)).place
    return dataclasses.replace(problem, key=key, file=place.file, line=place.line)


# -- secrets among the options: tables where the class declares the type Secret --------------------


def map_secrets(node: Node, spec: PluginSpec, change: Callable[[Node], Node]) -> Node:
    """The table of a plugin with each secret in it, a table itself, changed."""
    changed = {table.key: change(table) for table in _secrets(node, spec)}
    return _replaced(node, changed) if changed else node


def _replaced(node: Node, changed: Mapping[str, Node]) -> Node:
    return changed.get(node.key) or with_children(node, lambda child: _replaced(child, changed))


def _read_secret(table: Node, environ: Mapping[str, str], found: Diagnostics) -> Node:
    """A table with its source in full; as all options it is a template, filled in again at the start."""
    source = table.value.get("secret")
    if source is not None and source.source_text is not None and isinstance(source.value, str):
        if names(source.value):
            found.add(source, "where a secret is has to be known before the start, without ports of servers")
            return table
        source = replace(source, value=expand(source.value, lambda _: None))
        table = replace(table, value=table.value | {"secret": source})

    value = secret(table, found, environ)
    if value is None:
        return table

    return replace(table, value={"secret": replace(source, value=escape(value.secret))})


def _secrets(node: Node, spec: PluginSpec) -> list[Node]:
    # Without such a table the class of the plugin need not be imported at all.
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
    except PluginError:  # reported where the options are checked
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
