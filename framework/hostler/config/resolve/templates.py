"""Templates: tables of servers with parameters, and the servers that are made of them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import TypeAlias

from msgspec import Struct
from msgspec.structs import replace

from hostler.config.source.merge import merge
from hostler.model.interpolation import MalformedReference, TemplateText, expand, names
from hostler.model.schema.diagnostics import Diagnostics, likely, shown
from hostler.model.schema.tree import Node, below, moved, portable, quoted, with_children

Values: TypeAlias = Mapping[str, Node]

_PARAMETER = r"(?a)[A-Za-z_][A-Za-z0-9_]*"
_REFERENCE = r"(?a)\$\{parameter\.([A-Za-z_][A-Za-z0-9_]*)(?P<default>:-[^{}]*)?\}"
_PREFIX = "parameter."
_NODE = 32
"""What a value counts for beside its characters, in what is filled in."""
# Below these keys only strings may stand: a number there is put in as its digits.
_STRINGS_ONLY = ("command", "env")


class Template(Struct, frozen=True):
    """One template: what its servers have in common, and its parameters, each with its default or None.

    `is_valid` tells whether its parameters are declared and referred to as they may be.
    """

    name: str
    body: Node
    parameters: Mapping[str, Node | None]
    is_valid: bool = True

    def filled(self, key: str, values: Values, found: Diagnostics) -> Node:
        """The body as the table of a server at `key`, with the parameters put in."""
        table = {
            name: _filled(child, below(key, name), values, _has_only_strings(name, child), found)
            for name, child in self.body.value.items()
        }
        return replace(self.body, key=key, value=table)

    def values(self, given: Values, place: Node, found: Diagnostics) -> Values | None:
        """The value of every parameter; None when some cannot be used. `place` is where they are given."""
        right = [_can_be_given(self, name, node, found) for name, node in given.items()]
        missing = [name for name, default in self.parameters.items() if default is None and name not in given]
        meant = {likely(name, self.parameters) for name in given if name not in self.parameters}
        for name in (one for one in missing if one not in meant):
            what = f"the template {quoted(self.name)} needs the parameter {name}"
            if "." in place.key:  # a table, and not the arguments of a program
                what += f": write template = {{ use = {quoted(self.name)}, {name} = ... }}"
            found.add(place, what, key=below(place.key, name))

        if missing or not all(right):
            return None

        defaults = {name: default for name, default in self.parameters.items() if default is not None}
        return defaults | dict(given)


def read_templates(tree: Node, found: Diagnostics) -> dict[str, Template]:
    """All templates that can be used; what is wrong with how they are written is noted."""
    table = tree.value.get("templates")
    if table is None:
        return {}
    if not isinstance(table.value, dict):
        found.expected(table, "a table of templates, [templates.NAME]")
        return {}
    read = {name: _read(name, node, found) for name, node in table.value.items()}
    return {name: template for name, template in read.items() if template is not None}


def from_template(node: Node, templates: Mapping[str, Template], found: Diagnostics) -> Node | None:
    """The table of a server laid over the template that it names; None where that cannot be."""
    if not isinstance(node.value, dict) or "template" not in node.value:
        return node

    place = node.value["template"]
    named = _use(place, found)
    own = replace(node, value={name: child for name, child in node.value.items() if name != "template"})

    if named is None:
        return None
    if named.value not in templates:
        found.unknown(named, named.value, templates, what=f"there is no template {shown(named)}")
        return None

    template = templates[named.value]
    if not template.is_valid:
        return None  # reported already, at the template

    given = place.value if isinstance(place.value, dict) else {}
    values = template.values({name: child for name, child in given.items() if name != "use"}, place, found)
    return None if values is None else merge(template.filled(node.key, values, found), own)


def template_of(node: Node) -> str | None:
    """The name of the template that the table of a server names, as it is written."""
    place = node.table.get("template")
    named = None if place is None else place.table.get("use", place)
    return named.value if named is not None and isinstance(named.value, str) else None


def _use(node: Node, found: Diagnostics) -> Node | None:
    named = node.value.get("use") if isinstance(node.value, dict) else node
    if named is None:
        found.add(node, 'which template? use = "NAME" is missing', key=below(node.key, "use"))
    elif not isinstance(named.value, str):
        found.expected(named, 'the name of a template, or a table { use = "NAME", PARAMETER = ... }')
    else:
        return named
    return None


# -- reading ---------------------------------------------------------------------------------------


def _read(name: str, node: Node, found: Diagnostics) -> Template | None:
    if not isinstance(node.value, dict):
        found.expected(node, f"a table, [{node.key}]")
        return None

    body = {key: child for key, child in node.value.items() if key not in {"parameters", "template"}}
    declared = node.value.get("parameters")
    parameters = {} if declared is None else _parameters(declared, found)
    template = Template(name, replace(node, value=body), parameters)

    if "template" in node.value:
        found.add(node.value["template"], "a template cannot be made of another; write its keys here")

    # What parameters there are is not known where they cannot be read.
    is_known = declared is None or not found.has_problem(declared)
    for child in template.body.walk() if is_known else ():
        if isinstance(child.value, str) and not child.off:
            _check_references(child, parameters, found)

    return replace(template, is_valid=not found.has_problem(node))


def _parameters(node: Node, found: Diagnostics) -> dict[str, Node | None]:
    if not isinstance(node.value, dict):
        found.expected(node, "a table of parameters, such as { folder = { required = true }, port = 0 }")
        return {}
    return {name: _default(name, child, found) for name, child in node.value.items()}


def _default(name: str, node: Node, found: Diagnostics) -> Node | None:
    if name == "use" or not re.fullmatch(_PARAMETER, name):
        found.add(node, 'not a name for a parameter: letters, digits and _, no digit first, not "use"')
    elif not isinstance(node.value, dict):
        return node if _is_well_formed(node, found) else None
    elif {key: child.value for key, child in node.value.items()} != {"required": True}:
        example = f'; the default alone is enough: {name} = "..."' if "default" in node.value else ""
        found.add(node, f"expected a default, or {{ required = true }}, found a table{example}")
    return None


def _check_references(node: Node, parameters: Mapping[str, object], found: Diagnostics) -> None:
    for name in names(node.value) if _is_well_formed(node, found) else ():
        if name.startswith(_PREFIX) and name.removeprefix(_PREFIX) not in parameters:
            words = [f"${{{_PREFIX}{word}}}" for word in parameters]
            declare = (
                ""
                if words
                else f"; write parameters = {{ {name.removeprefix(_PREFIX)} = ... }} to declare it"
            )
            what = f"the template has no parameter ${{{name}}}{declare}"
            found.unknown(node, f"${{{name}}}", words, what=what)


def _is_well_formed(node: Node, found: Diagnostics) -> bool:
    """Whether every string at and below a value can be filled in; what cannot is noted."""
    for one in node.walk():
        try:
            names(one.value if isinstance(one.value, str) else "")
        except MalformedReference as error:
            found.add(one, f"{error}, found {shown(one)}")
    return not found.has_problem(node)


def _can_be_given(template: Template, name: str, node: Node, found: Diagnostics) -> bool:
    if name not in template.parameters:
        what = f"the template {quoted(template.name)} has no parameter of this name"
        found.unknown(node, name, template.parameters, what=what)
    elif isinstance(node.value, dict):
        found.expected(node, "a string, a number, true, false or a list")
    else:
        return _is_well_formed(node, found)
    return False


def _has_only_strings(key: str, node: Node) -> bool:
    return key in _STRINGS_ONLY and not isinstance(node.value, str)


# -- putting in ------------------------------------------------------------------------------------


def _filled(node: Node, key: str, values: Values, as_text: bool, found: Diagnostics) -> Node:
    found.count_filled(node, _NODE, key=key)

    if isinstance(node.value, str) and re.search(_REFERENCE, node.value):
        return _with_values(node, key, values, as_text, found)

    def filled(child: Node) -> Node:
        return _filled(child, key + child.key.removeprefix(node.key), values, as_text, found)

    return replace(with_children(node, filled), key=key)


def _with_values(node: Node, key: str, values: Values, as_text: bool, found: Diagnostics) -> Node:
    """A string with the parameters put in; the value itself where the string is one reference alone."""
    alone = re.fullmatch(_REFERENCE, node.value)
    value = None if alone is None or alone["default"] is not None else values.get(alone[1])
    if value is not None and (isinstance(value.value, str) or not as_text):
        found.count_filled(node, _size(value), key=key)
        return moved(value, key)

    def lookup(name: str) -> str:
        value = values.get(name.removeprefix(_PREFIX))
        text = "" if value is None else _as_text(value, name, key, node, found)
        found.count_filled(node, len(text), key=key)
        return text

    text = portable(replace(node, source_text=node.value))
    text = expand(text, lookup, keep=lambda name: not name.startswith(_PREFIX))
    return replace(node, key=key, value=text, place=replace(node.place, base=_base(node, values)))


def _size(node: Node) -> int:
    return sum(_NODE + (len(one.value) if isinstance(one.value, str) else 0) for one in node.walk())


def _base(node: Node, values: Values) -> Path:
    """Where a path starts: from the file that gives the parameter which it begins with."""
    first = re.match(_REFERENCE, node.value)
    value = None if first is None else values.get(first[1])
    return node.place.base if value is None or value.value == "" else value.place.base


def _as_text(value: Node, name: str, key: str, node: Node, found: Diagnostics) -> str:
    match value.value:
        case str():
            return TemplateText(portable(replace(value, source_text=value.value)))
        case bool() as flag:
            return "true" if flag else "false"
        case list():
            found.add(node, f"${{{name}}} is a list: it cannot be a part of a string", key=key)
            return ""
        case other:
            return str(other)
