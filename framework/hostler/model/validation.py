"""The one validator: what must hold between the values of a server, and between servers.

It reads specs, and the trees that they were read from, so that each problem has its line. A server that a
program made has a tree without lines. What only the classes of plugins tell is checked in config.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from itertools import chain, combinations, pairwise
from pathlib import Path
from typing import TypeAlias

from msgspec import Struct, field

from hostler.errors import Problem
from hostler.model.choices import InputMode, Kind, RestartMode
from hostler.model.dependencies import Condition
from hostler.model.schema.diagnostics import Diagnostics, shown
from hostler.model.schema.tree import Node, Place, parse_tree, quoted
from hostler.model.spec import ServerSpec

NeedNodes: TypeAlias = Mapping[str, Mapping[str, Node]]
"""For each server, where it names each of those that it needs."""
Servers: TypeAlias = Mapping[str, "ResolvedServer"]

_LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})
_WILDCARDS = frozenset({"0.0.0.0", "::"})  # noqa: S104 - what is compared with, not bound


class ResolvedServer(Struct, frozen=True):
    """A server as far as it could be read: its tree with `${...}` filled in, and its spec.

    `implied` tells where it refers to other servers, and so needs them.
    """

    node: Node
    spec: ServerSpec
    implied: Mapping[str, Node] = field(default_factory=dict)

    @classmethod
    def of(cls, spec: ServerSpec) -> ResolvedServer:
        """What a program made, as if it had been read."""
        place = Place(None, None, Path())
        table = {
            "host": spec.host,
            "port": False if spec.port is None else spec.port,
            "stdin": spec.stdin.value,
            "needs": [need.server for need in spec.needed],
            "restart": {"policy": spec.restart.policy.value},
            "command": spec.command,
            "env": spec.env,
            "plugins": [plugin.options for plugin in spec.plugins],
        }
        return cls(parse_tree(table, lambda _: place, key=f"servers.{spec.name}"), spec)

    def at(self, *keys: str) -> Node:
        """The value at a path, or the last table on the way where there is none."""
        return self.node.at(*keys)


def dependency_problems(specs: Iterable[ServerSpec]) -> list[Problem]:
    """Why these servers cannot be put in an order: what they are, and whom they need."""
    specs = tuple(specs)
    if not any(spec.needs or spec.task_timeout or spec.kind is Kind.TASK for spec in specs):
        return []  # there is nothing to look at, as with most
    found, servers = Diagnostics(), {spec.name: ResolvedServer.of(spec) for spec in specs}
    for server in servers.values():
        _check_kind(server, found)
    _check_needs(servers, found)
    return found.problems


def check_values(server: ResolvedServer, found: Diagnostics) -> None:
    """Note what does not fit together within one server."""
    _check_host(server, found)
    _check_delays(server, found)
    _check_kind(server, found)


def check_between(servers: Servers, found: Diagnostics) -> None:
    """Note what does not fit together between servers."""
    _check_needs(servers, found)
    at_port: dict[int, list[ResolvedServer]] = defaultdict(list)
    for server in servers.values():
        if server.spec.port:
            at_port[server.spec.port].append(server)
    for one, other in chain.from_iterable(combinations(same, 2) for same in at_port.values()):
        _check_ports(one, other, found)
    _check_inputs([one for one in servers.values() if one.spec.stdin is InputMode.INHERIT], found)


# -- within a server -------------------------------------------------------------------------------


def _check_host(server: ResolvedServer, found: Diagnostics) -> None:
    host = server.spec.host
    node = server.at("host")
    if host in _LOOPBACK or found.has_problem(node):
        return

    name, _, port = host.partition(":")
    if name and port.isdecimal():
        found.expected(node, f"the host alone (write host = {quoted(name)} and port = {port})")
    elif any(letter in "/[]@%" or letter.isspace() or not letter.isprintable() for letter in host):
        found.expected(node, "the name or address of a host, without scheme, port or brackets")
    elif not server.spec.expose and not _is_loopback(host):
        found.add(
            node,
            f"{shown(node)} may be reached from outside; allowed: 127.0.0.0/8, ::1, localhost, or any host "
            "with expose = true",
        )


def _is_loopback(host: str) -> bool:
    from ipaddress import ip_address  # noqa: PLC0415 - rarely needed

    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def _check_delays(server: ResolvedServer, found: Diagnostics) -> None:
    restart = server.spec.restart
    node = server.at("restart", "initial_delay")
    if restart.initial_delay > restart.max_delay and not found.has_problem(server.at("restart")):
        first, longest = _delay(server, "initial_delay"), _delay(server, "max_delay")
        found.add(node, f"{first} is longer than max_delay, {longest}")


def _delay(server: ResolvedServer, key: str) -> str:
    restart = server.at("restart")
    return shown(restart.value[key]) if key in restart.value else f'"{getattr(server.spec.restart, key):g}s"'


def _check_kind(server: ResolvedServer, found: Diagnostics) -> None:
    """A task has no port and an end; a server has none that would be a success."""
    spec, port, timeout = server.spec, server.at("port"), server.at("task_timeout")
    if spec.kind is Kind.SERVER:
        if timeout is not server.node and not found.has_problem(timeout):
            found.add(timeout, 'only a task (kind = "task") has a time in which it has to complete')
        return

    if port is not server.node and port.value is not False and not found.has_problem(port):
        found.add(port, f"a task has no port: it runs to completion; leave it out, found {shown(port)}")

    if spec.restart.policy is RestartMode.ALWAYS:
        found.add(
            server.at("restart", "policy"), 'a task ends when it is done; allowed: "on-failure", "never"'
        )


# -- ports and inputs of two servers ---------------------------------------------------------------


def _check_ports(one: ResolvedServer, other: ResolvedServer, found: Diagnostics) -> None:
    if _overlap(one.spec.host, other.spec.host):
        node = other.at("port")
        found.add(
            node, f"{shown(node)} is already the port of {quoted(one.spec.name)} on this host (0: a free one)"
        )


def _overlap(one: str, other: str) -> bool:
    hosts = {one, other}
    return len(hosts) == 1 or bool(hosts & _WILDCARDS) or ("localhost" in hosts and hosts <= _LOOPBACK)


def _check_inputs(inheriting: Sequence[ResolvedServer], found: Diagnostics) -> None:
    for server in inheriting[1:]:
        first = quoted(inheriting[0].spec.name)
        found.add(
            server.at("stdin"), f"{first} reads what hostler itself reads already, and only one server can"
        )


# -- needs -----------------------------------------------------------------------------------------


def _check_needs(servers: Servers, found: Diagnostics) -> None:
    """Note needs that cannot be met: of nobody, of itself, of a server that never completes, in a circle."""
    need_nodes = {name: _need_nodes(server, found) for name, server in servers.items()}
    for name, named in need_nodes.items():
        for other, node in named.items():
            _check_need(servers[name], other, node, servers, found)
    _check_circles(servers, need_nodes, found)


def _need_nodes(server: ResolvedServer, found: Diagnostics) -> dict[str, Node]:
    needs = server.at("needs")
    if needs is server.node or found.has_problem(needs):
        return {}
    return needs.value if isinstance(needs.value, dict) else {item.value: item for item in needs.value}


def _check_need(server: ResolvedServer, other: str, node: Node, servers: Servers, found: Diagnostics) -> None:
    if other == server.spec.name:
        found.add(node, "a server cannot need itself")
    elif other in servers:
        _check_completion(server, servers[other], node, found)
    else:
        listed = isinstance(server.at("needs").value, list)
        word = "" if listed and node.source_text is not None else other  # never the value of a variable
        what = f"there is no server {shown(node) if listed else quoted(other)}"
        found.unknown(node, word, [name for name in servers if name != server.spec.name], what=what)


def _check_completion(server: ResolvedServer, other: ResolvedServer, node: Node, found: Diagnostics) -> None:
    need = next(need for need in server.spec.needed if need.server == other.spec.name)
    if need.condition is Condition.COMPLETED and other.spec.kind is not Kind.TASK:
        node = node.value["condition"] if isinstance(node.value, dict) else node
        name = quoted(other.spec.name)
        found.add(node, f'{name} never completes, it is no task (kind = "task"); allowed: "started", "ready"')


def _check_circles(servers: Servers, need_nodes: NeedNodes, found: Diagnostics) -> None:
    from graphlib import CycleError, TopologicalSorter  # noqa: PLC0415 - only where servers need others

    needs = {
        name: [need.server for need in server.spec.needed if need.server != name]
        for name, server in servers.items()
    }
    # graphlib reports one circle at a time: cut it, and look for the next, to report all.
    while any(needs.values()):
        try:
            TopologicalSorter(needs).prepare()
        except CycleError as error:
            first, second, *_ = circle = error.args[1][::-1]
            nodes = [_need_node(servers[one], other, need_nodes) for one, other in pairwise(circle)]
            named = [f"{name}{_position(node)}" for name, node in zip(circle, nodes, strict=False)]
            text = " -> ".join([*named, circle[0]])
            found.add(nodes[0], f"servers need each other in a cycle: {text}")
            needs[first] = [other for other in needs[first] if other != second]
        else:
            return


def _need_node(server: ResolvedServer, other: str, need_nodes: NeedNodes) -> Node:
    """Where a server names another, or refers to it."""
    return need_nodes[server.spec.name].get(other) or server.implied.get(other) or server.at("needs")


def _position(node: Node) -> str:
    return "" if node.place.file is None else f" ({node.place.file}:{node.place.line or 1})"
