"""`hostler show --origin`: where each value comes from, and who set each variable."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime

from hostler.cli.formatting import format_time
from hostler.config.provenance import Origin, origins_of, origins_of_control, origins_of_listener, place_of
from hostler.config.resolve.control_table import ResolvedControl
from hostler.config.resolve.listener_tables import ResolvedListener
from hostler.config.show import masker_of, masker_of_listener
from hostler.errors import EnvironmentSetupFailed
from hostler.launching.env_file import read_env_file
from hostler.launching.initial_environment import OF_ENV, OF_HOSTLER
from hostler.model.spec import Configuration
from hostler.model.validation import ResolvedServer
from hostler.plugins.discovery import find_class
from hostler.process.disk.directories import Directories
from hostler.process.disk.namespace import resolve_namespace
from hostler.process.spawn.environment import safe_base
from hostler.records.status_store import Status, StatusStore, Variables

_WIDEST = 72


def origins_text(
    configuration: Configuration,
    servers: Sequence[ResolvedServer],
    listeners: Iterable[ResolvedListener],
    control: ResolvedControl | None,
) -> str:
    """Where values come from, masked: those of servers with their variables, of listeners and `[control]`."""
    directories = Directories.default()
    store = StatusStore(directories.data_for(resolve_namespace(directories, configuration.namespace or "")))
    texts = [_text_of(server, store.read(server.spec.name)) for server in servers]
    texts += map(_text_of_listener, listeners)
    texts += [] if control is None else ["\n".join(_values(origins_of_control(control)))]
    return "\n\n".join(texts)


def _text_of(server: ResolvedServer, status: Status | None) -> str:
    # The variables are those of the last start.
    variables = None if status is None else status.variables
    head, rows = _known(server) if variables is None else _set_at(server, variables)
    text = "\n".join([*_values(origins_of(server)), "", f"# {head}", *_aligned(rows)])
    return masker_of(server).text(text)


def _text_of_listener(listener: ResolvedListener) -> str:
    return masker_of_listener(listener).text("\n".join(_values(origins_of_listener(listener))))


def _values(origins: Iterable[Origin]) -> Iterator[str]:
    yield from _aligned((f"{one.key} = {one.value}", one.place) for one in origins)


def _aligned(rows: Iterable[tuple[str, str]]) -> Iterator[str]:
    """Each text with its comment, those below each other unless a text is very long."""
    rows = list(rows)
    width = max((len(text) for text, _ in rows if len(text) <= _WIDEST), default=0)
    yield from (f"{text:<{width}}  # {comment}" for text, comment in rows)


def _set_at(server: ResolvedServer, variables: Variables) -> tuple[str, list[tuple[str, str]]]:
    name, when = server.spec.name, format_time(variables.since, datetime.now(UTC))
    rows = [(variable, _who(server, variable, who)) for variable, who in variables.origins.items()]
    rows += [(variable, f"taken away by {who}") for variable, who in variables.removed.items()]
    return f"the environment of {name}, as it was set at its last start ({when}):", sorted(rows)


def _known(server: ResolvedServer) -> tuple[str, list[tuple[str, str]]]:
    """What is known without a start."""
    spec = server.spec
    who = dict.fromkeys(safe_base(os.environ), OF_HOSTLER)
    troubles = []

    for file in spec.env_file:
        try:
            who |= dict.fromkeys(read_env_file(file), f"env_file {file.path}")
        except EnvironmentSetupFailed as error:
            troubles.append(("...", error.message.replace("\n", "; ")))

    who |= {name: _who(server, name, OF_ENV) for name in spec.env}
    needs = [("...", f"what the server {need.server} publishes") for need in spec.needed]
    plugins = [
        ("...", f"what the plugin {plugin.name} sets or takes away")
        for plugin in spec.plugins
        if hasattr(find_class(plugin), "pre_spawn")
    ]
    head = f"the environment of {spec.name}, as far as it is known without a start (there is none on record):"
    return head, [*sorted(who.items()), *troubles, *needs, *plugins]


def _who(server: ResolvedServer, variable: str, who: str) -> str:
    """Who set a variable, with the place in the configuration where there is one."""
    env = server.node.value.get("env")
    node = None if env is None or who != OF_ENV else env.value.get(variable)
    return who if node is None else f"{who}: {place_of(node.place)}"
