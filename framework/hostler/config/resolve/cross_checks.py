"""What must hold between the values of a server, and between servers, with their plugins and references."""

from __future__ import annotations

from collections.abc import Iterable

from msgspec.structs import replace

from hostler.config.resolve.context import PluginClasses
from hostler.errors import Problem
from hostler.model.choices import Kind
from hostler.model.graph import add_needs, references_of
from hostler.model.interpolation import Reference
from hostler.model.schema import foreign_words
from hostler.model.schema.diagnostics import Diagnostics, likely
from hostler.model.schema.tree import Node, quoted
from hostler.model.spec import PluginSpec, ServerSpec
from hostler.model.validation import ResolvedServer, Servers, check_between, check_values


def check(servers: Servers, classes: PluginClasses, found: Diagnostics) -> None:
    """Note what does not fit together."""
    for server in servers.values():
        check_alone(server, classes, found)
    check_between(servers, found)


def problems_of(specs: Iterable[ServerSpec]) -> list[Problem]:
    """What does not fit together in what a program made."""
    found, classes = Diagnostics(), PluginClasses()
    servers = {spec.name: ResolvedServer.of(spec) for spec in specs}
    for server in servers.values():
        _check_command(server, classes, found)
        check_values(server, found)
    check_between(servers, found)
    return found.problems


def check_alone(server: ResolvedServer, classes: PluginClasses, found: Diagnostics) -> None:
    """Note what does not fit together within one server."""
    _check_command(server, classes, found)
    check_values(server, found)
    _check_plugins(server, classes, found)


# -- plugins ---------------------------------------------------------------------------------------


def _check_command(server: ResolvedServer, classes: PluginClasses, found: Diagnostics) -> None:
    """Note a server that nothing could be run for."""
    if server.spec.command or any(map(_may_supply_command, map(classes.known, server.spec.plugins))):
        return
    table = server.node.value
    # Without a readable `command` or `plugins` nobody knows whether there is a command.
    meant = {"command", "plugins", *(key for key, child in table.items() if _may_hold_command(key, child))}
    if not any(found.has_problem(table[key]) for key in meant if key in table):
        message = "there is no command, and no plugin that could supply one (with the hook pre_spawn)"
        found.add(server.at("command"), message, key=f"{server.node.key}.command")


def _may_hold_command(key: str, node: Node) -> bool:
    """Whether a key was probably meant as `command`, or the table below it as that of a server."""
    return bool(likely(key, ("command",))) or foreign_words.gives_command(key) or "command" in node.table


def _may_supply_command(class_: type | None) -> bool:
    return class_ is None or hasattr(class_, "pre_spawn")


def _check_plugins(server: ResolvedServer, classes: PluginClasses, found: Diagnostics) -> None:
    """Note plugins that cannot do anything for a server without a port: its start would only fail later."""
    if server.spec.port is not None:
        return
    why = "this is a task" if server.spec.kind is Kind.TASK else "port = false"
    for plugin in server.spec.plugins:
        if needs_port(plugin, classes):
            node = server.at("plugins").value[plugin.name]
            found.add(node, f"{plugin.name} needs a server with a port, and there is none ({why})")


def needs_port(plugin: PluginSpec, classes: PluginClasses) -> bool:
    """Whether the class of a plugin says so, or names the options that would do instead of its port."""
    needs = getattr(classes.known(plugin), "needs_port", False)
    others = (needs,) if isinstance(needs, str) else needs
    return not any(name in plugin.options for name in others) if isinstance(others, tuple) else bool(others)


# -- references to other servers -------------------------------------------------------------------


def with_implied_needs(servers: Servers, found: Diagnostics) -> dict[str, ResolvedServer]:
    """The same servers, each with all that it refers to among its needs; what cannot be is noted."""
    return {name: _with_needs(server, servers, found) for name, server in servers.items()}


def _with_needs(server: ResolvedServer, servers: Servers, found: Diagnostics) -> ResolvedServer:
    implied: dict[str, Node] = {}
    for node, reference in references_of(server):
        if _is_met(node, reference, server.spec.name, servers, found):
            implied.setdefault(reference.server, node)
    return replace(server, spec=add_needs(server.spec, *implied), implied=implied)


def _is_met(node: Node, reference: Reference, own: str, servers: Servers, found: Diagnostics) -> bool:
    """Whether there is what a reference means; if not, that is noted."""
    name = reference.server
    written = f"${{servers.{name}.{reference.part}}}"

    if name == own:
        found.add(node, f"{written} names the server itself; write ${{server.{reference.part}}}")
    elif name not in servers:
        what = f"{written}: there is no server {quoted(name)}"
        if likely(name, servers) == own:
            found.add(node, what, proposal=f"${{server.{reference.part}}}")
        else:
            found.unknown(node, name, [other for other in servers if other != own], what=what)
    elif servers[name].spec.port is None:
        found.add(node, f"{written} means nothing: {name} has no port (port = false)")
    else:
        return True

    return False
