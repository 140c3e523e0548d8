"""What must hold between the values of a server, and between servers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import combinations
from pathlib import Path

from hostler.config.resolve.needs import check_needs
from hostler.config.resolve.server_table import ResolvedServer
from hostler.errors import PluginError, Problem
from hostler.model.choices import InputMode, Kind, RestartMode
from hostler.model.schema.diagnostics import Diagnostics, likely, shown
from hostler.model.schema.tree import Place, grow, quoted
from hostler.model.spec import PluginSpec, ServerSpec

_LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})
_WILDCARDS = frozenset({"0.0.0.0", "::"})  # noqa: S104 - what is compared with, not bound


def check(drafts: Mapping[str, ResolvedServer], found: Diagnostics) -> None:
    """Note what does not fit together."""
    for draft in drafts.values():
        check_alone(draft, found)

    check_needs(drafts, found)
    _check_between(drafts, found)


def problems_of(specs: Iterable[ServerSpec]) -> list[Problem]:
    """What does not fit together in what a program made; whom a server needs is looked at elsewhere."""
    found, here = Diagnostics(), Place(None, None, Path())
    drafts = {}

    for spec in specs:
        table = {
            "host": spec.host,
            "port": spec.port,
            "stdin": spec.stdin.value,
            "restart": dict[str, object](),
        }
        node = grow(table, lambda _: here, key=f"servers.{spec.name}")
        drafts[spec.name] = draft = ResolvedServer(node, spec)
        _check_command(draft, found)
        _check_host(draft, found)
        _check_delays(draft, found)

    _check_between(drafts, found)
    return found.problems


def _check_between(drafts: Mapping[str, ResolvedServer], found: Diagnostics) -> None:
    fixed = [draft for draft in drafts.values() if draft.spec.port]

    for one, other in combinations(fixed, 2):
        _check_ports(one, other, found)

    _check_inputs([draft for draft in drafts.values() if draft.spec.stdin is InputMode.INHERIT], found)


def check_alone(draft: ResolvedServer, found: Diagnostics) -> None:
    """Note what does not fit together within one server."""
    _check_command(draft, found)
    _check_host(draft, found)
    _check_delays(draft, found)
    _check_kind(draft, found)
    _check_plugins(draft, found)


def _check_command(draft: ResolvedServer, found: Diagnostics) -> None:
    spec = draft.spec
    node = draft.at("command")

    if spec.command or any(_may_supply(plugin) for plugin in spec.plugins):
        return

    meant = {"command", "plugins", *(key for key in draft.node.value if likely(key, ("command",)))}

    if any(found.has_noted(draft.node.value[key]) for key in meant if key in draft.node.value):
        return

    message = "there is no command, and no plugin that could supply one (with the hook pre_spawn)"
    found.add(node, message, key=f"{draft.node.key}.command")


def _may_supply(plugin: PluginSpec) -> bool:
    from hostler.plugins.discovery import find_class  # noqa: PLC0415 - imports what only servers with plugins need

    try:
        return hasattr(find_class(plugin), "pre_spawn")
    except PluginError:
        return True  # told already, at the plugin's own line


def _check_host(draft: ResolvedServer, found: Diagnostics) -> None:
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


def _check_delays(draft: ResolvedServer, found: Diagnostics) -> None:
    restart = draft.spec.restart
    node = draft.at("restart", "initial_delay")

    if restart.initial_delay > restart.max_delay and not found.has_noted(draft.at("restart")):
        found.add(
            node, f"{_delay(draft, 'initial_delay')} is longer than max_delay, {_delay(draft, 'max_delay')}"
        )


def _delay(draft: ResolvedServer, key: str) -> str:
    restart = draft.at("restart")
    return shown(restart.value[key]) if key in restart.value else f'"{getattr(draft.spec.restart, key):g}s"'


def _check_kind(draft: ResolvedServer, found: Diagnostics) -> None:
    """A task has no port and an end; a server has none that would be a success."""
    spec, port, timeout = draft.spec, draft.at("port"), draft.at("task_timeout")

    if spec.kind is Kind.SERVER:
        if timeout is not draft.node and not found.has_noted(timeout):
            found.add(timeout, 'only a task (kind = "task") has a time in which it has to complete')

        return

    if port is not draft.node and port.value is not False and not found.has_noted(port):
        found.add(port, f"a task has no port: it runs to completion; leave it out, found {shown(port)}")

    if spec.restart.policy is RestartMode.ALWAYS:
        found.add(
            draft.at("restart", "policy"), 'a task ends when it is done; allowed: "on-failure", "never"'
        )


def _check_plugins(draft: ResolvedServer, found: Diagnostics) -> None:
    """Note plugins that cannot do anything for a server without a port: its start would only fail later."""
    if draft.spec.port is not None:
        return

    why = "this is a task" if draft.spec.kind is Kind.TASK else "port = false"

    for plugin in draft.spec.plugins:
        if _needs_port(plugin):
            node = draft.at("plugins").value[plugin.name]
            found.add(node, f"{plugin.name} needs a server with a port, and there is none ({why})")


def _needs_port(plugin: PluginSpec) -> bool:
    """Whether the class of a plugin says so, or names the options that would do instead of its port."""
    from hostler.plugins.discovery import find_class  # noqa: PLC0415 - imports what only servers with plugins need

    try:
        needs = getattr(find_class(plugin), "needs_port", False)
    except PluginError:
        return False  # told already, at the plugin's own line

    others = (needs,) if isinstance(needs, str) else needs
    return not any(name in plugin.options for name in others) if isinstance(others, tuple) else bool(others)


def _check_ports(one: ResolvedServer, other: ResolvedServer, found: Diagnostics) -> None:
    if one.spec.port == other.spec.port and _overlap(one.spec.host, other.spec.host):
        node = other.at("port")
        found.add(
            node, f"{shown(node)} is already the port of {quoted(one.spec.name)} on this host (0: a free one)"
        )


def _check_inputs(inheriting: Sequence[ResolvedServer], found: Diagnostics) -> None:
    for draft in inheriting[1:]:
        first = quoted(inheriting[0].spec.name)
        found.add(
            draft.at("stdin"), f"{first} reads what hostler itself reads already, and only one server can"
        )


def _overlap(one: str, other: str) -> bool:
    hosts = {one, other}
    return len(hosts) == 1 or bool(hosts & _WILDCARDS) or ("localhost" in hosts and hosts <= _LOOPBACK)
