"""Servers made of templates, when a file is read or later by a program; and checks of a template itself."""

from __future__ import annotations

from pathlib import Path

from msgspec import Struct
from msgspec.structs import replace

from hostler.config.resolve.context import ResolveContext
from hostler.config.resolve.cross_checks import check_alone
from hostler.config.resolve.defaults import Defaults
from hostler.config.resolve.server_table import read_server, suggest_place
from hostler.config.resolve.templates import Template
from hostler.errors import InvalidConfiguration
from hostler.model.interpolation import escape
from hostler.model.schema.diagnostics import Diagnostics
from hostler.model.schema.server_keys import IN_TEMPLATE
from hostler.model.schema.tree import Node, Place, below, parse_tree, with_children
from hostler.model.spec import ServerSpec, replace_unchecked


class TemplateInstantiator(Struct, frozen=True):
    """Makes the specs of servers from one template, with parameters that a program gives."""

    template: Template
    context: ResolveContext
    defaults: Defaults

    def __call__(self, name: str, /, **parameters: object) -> ServerSpec:
        """The spec of a server of this name. Strings are taken as they are, without `${...}`.

        Raises InvalidConfiguration with every mistake that was found.
        """
        # The classes are looked for anew: their files may have changed since this configuration was read.
        found, context = Diagnostics(suggest_place), ResolveContext(self.context.environ, self.context.folder)
        place = Place(None, None, Path.cwd())
        given = _literal(parse_tree(parameters, lambda _: place, key="template"))
        values = self.template.values(given.value, given, found)
        if values is not None:
            own = self.template.filled(below("servers", name), values, found)
            server = read_server(name, self.defaults.below(own, context.classes), context, found)
            if server is not None:
                check_alone(server, context.classes, found)

        # A program asks for this server to run it: a variable that is not set is a mistake at once.
        if found.problems or found.unset or values is None or server is None:
            raise InvalidConfiguration([*found.problems, *found.unset])

        return replace_unchecked(server.spec, template=self.template.name)


def _literal(node: Node) -> Node:
    """A value in which no string refers to anything."""
    if isinstance(node.value, str):
        return replace(node, value=escape(node.value))
    return with_children(node, _literal)


def check_template(template: Template, context: ResolveContext, found: Diagnostics) -> None:
    """Note what is wrong in a template whatever its parameters are, and whatever the environment."""
    for name, node in template.body.value.items():
        if name not in IN_TEMPLATE:
            found.unknown(node, name, IN_TEMPLATE)
    _check_constants(template.name, template.body, context, found)


def check_defaults(defaults: Defaults, context: ResolveContext, found: Diagnostics) -> None:
    """Note what is wrong in the defaults whatever server they are for, and whatever the environment."""
    if defaults.body is not None:
        _check_constants("defaults", defaults.body, context, found)


def _check_constants(name: str, body: Node, context: ResolveContext, found: Diagnostics) -> None:
    constants = {key: _constant(node) for key, node in body.value.items()}
    table = {key: node for key, node in constants.items() if _is_constant(node)}
    read_server(name, replace(body, value=table), context, found)


def _constant(node: Node) -> Node:
    """A table without what refers to anything; a list, or the table of a plugin, is left out as a whole."""
    if not isinstance(node.value, dict):
        return node
    return replace(node, value={name: child for name, child in node.value.items() if _is_constant(child)})


def _is_constant(node: Node) -> bool:
    return not any(isinstance(child.value, str) and "${" in child.value for child in node.walk())
