"""`[defaults]`: what all servers of a configuration have in common, unless their own tables say otherwise."""

from __future__ import annotations

from msgspec import Struct
from msgspec.structs import replace

from hostler.config.resolve.context import PluginClasses
from hostler.config.resolve.cross_checks import needs_port
from hostler.config.source.merge import merge
from hostler.model.choices import Kind, RestartMode
from hostler.model.interpolation import MalformedReference, Reference, names
from hostler.model.schema.diagnostics import Diagnostics, likely
from hostler.model.schema.server_keys import IN_DEFAULTS, SERVER_KEYS
from hostler.model.schema.tree import Node, moved
from hostler.model.spec import PluginSpec

_OF_A_PORT = ("port", "port_from_socket", "scheme")


class Defaults(Struct, frozen=True):
    """The table `[defaults]`, None where there is none."""

    body: Node | None = None

    def below(self, server: Node, classes: PluginClasses) -> Node:
        """The table of a server laid over what applies to it; its own keys are never left out."""
        if self.body is None or not isinstance(server.value, dict):
            return server
        return merge(_applicable(moved(self.body, server.key), server, classes), server)


def read_defaults(tree: Node, found: Diagnostics) -> Defaults:
    """The defaults that can be used; keys that cannot have one are noted."""
    table = tree.value.get("defaults")
    if table is None:
        return Defaults()
    if not isinstance(table.value, dict):
        found.expected(table, "a table of keys for all servers, [defaults]")
        return Defaults()

    check_keys(table, found)
    return Defaults(
        replace(table, value={key: node for key, node in table.value.items() if key in IN_DEFAULTS})
    )


def check_keys(table: Node, found: Diagnostics) -> None:
    """Note the keys that have no default for all servers."""
    for name, node in table.table.items():
        if name in SERVER_KEYS and name not in IN_DEFAULTS:
            found.add(node, "this differs from server to server; write it in [servers.NAME] or a template")
        elif name not in IN_DEFAULTS:
            meant = "template" if name == "template" else likely(name, SERVER_KEYS)
            if meant and meant not in IN_DEFAULTS:
                found.add(node, f"unknown key; each server has its own {meant}: write it in [servers.NAME]")
            else:
                found.unknown(node, name, IN_DEFAULTS)


def _applicable(defaults: Node, server: Node, classes: PluginClasses) -> Node:
    """The defaults without what means nothing for this server and would only be a mistake in it."""
    own = merge(defaults, server).value
    is_task = "kind" in own and own["kind"].value == Kind.TASK.value
    has_port = not is_task and not ("port" in own and own["port"].value is False)
    table = {
        key: child
        for key, child in defaults.value.items()
        if not (is_task and key in _OF_A_PORT) and (is_task or key != "task_timeout")
    }
    restart = table.get("restart")
    if is_task and restart is not None and isinstance(restart.value, dict):
        table["restart"] = replace(restart, value=_of_a_task(restart.value))
    for key in ("env", "plugins"):
        if key in table and isinstance(table[key].value, dict):
            table[key] = _meaningful(table[key], server, key, has_port, classes)
    return replace(defaults, value=table)


def _of_a_task(restart: dict[str, Node]) -> dict[str, Node]:
    always = RestartMode.ALWAYS.value
    return {key: child for key, child in restart.items() if key != "policy" or child.value != always}


def _meaningful(table: Node, server: Node, key: str, has_port: bool, classes: PluginClasses) -> Node:
    """The variables, or plugins, without those that need what this server cannot have: a port, or itself."""
    name = server.key.rpartition(".")[2].strip('"')
    own = server.value[key].table if key in server.value else {}
    return replace(
        table,
        value={
            entry: child
            for entry, child in table.value.items()
            if entry in own
            or not (
                _refers_to_itself(child, name)
                or (
                    not has_port
                    and (_refers_to_port(child) or (key == "plugins" and _is_for_port(entry, child, classes)))
                )
            )
        },
    )


def _refers_to_itself(node: Node, name: str) -> bool:
    return any(
        found is not None and found.server == name for found in map(Reference.parse, _references(node))
    )


def _refers_to_port(node: Node) -> bool:
    return not {"server.port", "server.url"}.isdisjoint(_references(node))


def _references(node: Node) -> list[str]:
    try:
        return [name for one in node.walk() if isinstance(one.value, str) for name in names(one.value)]
    except MalformedReference:  # reported where the server is read
        return []


def _is_for_port(name: str, node: Node, classes: PluginClasses) -> bool:
    """Whether a plugin does nothing for a server without a port: it checks, or finds, one."""
    use = node.table["use"].value if "use" in node.table else None
    plugin = PluginSpec(name, dict(node.table), use if isinstance(use, str) else None)
    return needs_port(plugin, classes) or hasattr(classes.known(plugin), "parse_port")
