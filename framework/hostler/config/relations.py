"""What must hold between the values of a server, and between servers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations

from hostler.config.findings import Findings, shown
from hostler.config.servers import Draft
from hostler.config.tree import Node, quoted
from hostler.errors import PluginError
from hostler.model import PluginSpec

_LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})
_WILDCARDS = frozenset({"0.0.0.0", "::"})  # noqa: S104 - what is compared with, not bound


def check(drafts: Mapping[str, Draft], found: Findings) -> None:
    """Note what does not fit together."""
    for draft in drafts.values():
        _check_command(draft, found)
        _check_host(draft, found)
        _check_delays(draft, found)
        _check_needs(draft, list(drafts), found)

    _check_circles(drafts, found)

    fixed = [draft for draft in drafts.values() if draft.spec.port]

    for one, other in combinations(fixed, 2):
        _check_ports(one, other, found)


def _check_command(draft: Draft, found: Findings) -> None:
    spec = draft.spec
    node = draft.at("command")

    if spec.command or any(_may_supply(plugin) for plugin in spec.plugins):
        return

    if any(
        found.has_noted(draft.node.value[key]) for key in ("command", "plugins") if key in draft.node.value
    ):
        return

    message = "there is no command, and no plugin that could supply one (with the hook pre_spawn)"
    found.add(node, message, key=f"{draft.node.key}.command")


def _may_supply(plugin: PluginSpec) -> bool:
    from hostler.plugins import find_class  # noqa: PLC0415 - imports what only servers with plugins need

    try:
        return hasattr(find_class(plugin), "pre_spawn")
    except PluginError:
        return True  # told already, at the plugin's own line


def _check_host(draft: Draft, found: Findings) -> None:
    host = draft.spec.host
    node = draft.at("host")

    if host in _LOOPBACK or found.has_noted(node):
        return

    if any(letter in "/[]@%" or letter.isspace() or not letter.isprintable() for letter in host):
        found.expected(node, "the name or address of a host, without scheme, port or brackets")
    elif not draft.spec.expose and not _is_loopback(host):
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


def _check_delays(draft: Draft, found: Findings) -> None:
    restart = draft.spec.restart
    node = draft.at("restart", "initial_delay")

    if restart.initial_delay > restart.max_delay and not found.has_noted(draft.at("restart")):
        found.add(
            node, f"{_delay(draft, 'initial_delay')} is longer than max_delay, {_delay(draft, 'max_delay')}"
        )


def _delay(draft: Draft, key: str) -> str:
    restart = draft.at("restart")
    return shown(restart.value[key]) if key in restart.value else f'"{getattr(draft.spec.restart, key):g}s"'


def _check_needs(draft: Draft, servers: Sequence[str], found: Findings) -> None:
    needs = draft.at("needs")

    if needs is not draft.node and not found.has_noted(needs):
        for node in needs.value:
            _check_need(draft.spec.name, node, servers, found)


def _check_need(name: str, node: Node, servers: Sequence[str], found: Findings) -> None:
    if node.value == name:
        found.add(node, "a server cannot need itself")
    elif node.value not in servers:
        others = [server for server in servers if server != name]
        found.unknown(
            node, node.value if node.raw is None else "", others, what=f"there is no server {shown(node)}"
        )


def _check_circles(drafts: Mapping[str, Draft], found: Findings) -> None:
    from graphlib import CycleError, TopologicalSorter  # noqa: PLC0415 - only where servers need others

    needs = {name: {need for need in draft.spec.needs if need != name} for name, draft in drafts.items()}

    while any(needs.values()):
        try:
            TopologicalSorter(needs).prepare()
        except CycleError as error:
            circle = error.args[1][::-1]
            message = f"servers need each other in a circle: {' -> '.join(circle)}"
            found.add(_place_of_need(drafts[circle[0]], circle[1]), message)
            needs[circle[0]].discard(circle[1])
        else:
            return


def _place_of_need(draft: Draft, other: str) -> Node:
    return draft.implied.get(other, draft.at("needs"))


def _check_ports(one: Draft, other: Draft, found: Findings) -> None:
    if one.spec.port == other.spec.port and _overlap(one.spec.host, other.spec.host):
        node = other.at("port")
        found.add(
            node, f"{shown(node)} is already the port of {quoted(one.spec.name)} on this host (0: a free one)"
        )


def _overlap(one: str, other: str) -> bool:
    hosts = {one, other}
    return len(hosts) == 1 or bool(hosts & _WILDCARDS) or ("localhost" in hosts and hosts <= _LOOPBACK)
