"""`hostler show --origin`: where each value comes from, and who set each variable."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime

from hostler.cli.formatting import at
from hostler.config.provenance import origins_of, place_of
from hostler.errors import EnvironmentSetupFailed
from hostler.launching.env_file import read_env_file
from hostler.launching.spec_secrets import secrets_of_spec
from hostler.launching.variables import OF_ENV, OF_HOSTLER
from hostler.model.validation import ResolvedServer
from hostler.plugins.discovery import find_class
from hostler.process.spawn.environment import safe_base
from hostler.records.status_store import Variables
from hostler.secrets.masking import Masker

_WIDEST = 72


def told(draft: ResolvedServer, variables: Variables | None) -> str:
    """Everything about one server, masked; `variables` are those of its last start, where there was one."""
    values = [(f"{one.key} = {one.value}", one.place) for one in origins_of(draft)]
    head, rows = _known(draft) if variables is None else _set_at(draft, variables)
    text = "\n".join([*_aligned(values), "", f"# {head}", *_aligned(rows)])
    return Masker(secrets_of_spec(draft.spec)).text(text)


def _aligned(rows: Iterable[tuple[str, str]]) -> Iterator[str]:
    """Each text with its comment, those below each other unless a text is very long."""
    rows = list(rows)
    width = max((len(text) for text, _ in rows if len(text) <= _WIDEST), default=0)
    yield from (f"{text:<{width}}  # {comment}" for text, comment in rows)


def _set_at(draft: ResolvedServer, variables: Variables) -> tuple[str, list[tuple[str, str]]]:
    name, when = draft.spec.name, at(variables.since, datetime.now(UTC))
    rows = [(variable, _who(draft, variable, who)) for variable, who in variables.origins.items()]
    rows += [(variable, f"taken away by {who}") for variable, who in variables.removed.items()]
    return f"the environment of {name}, as it was set at its last start ({when}):", sorted(rows)


def _known(draft: ResolvedServer) -> tuple[str, list[tuple[str, str]]]:
    """What can be told without a start."""
    spec = draft.spec
    who = dict.fromkeys(safe_base(os.environ), OF_HOSTLER)
    troubles = []

    for file in spec.env_file:
        try:
            who |= dict.fromkeys(read_env_file(file), f"env_file {file.path}")
        except EnvironmentSetupFailed as error:
            troubles.append(("...", error.message.replace("\n", "; ")))

    who |= {name: _who(draft, name, OF_ENV) for name in spec.env}
    needs = [("...", f"what the server {need.server} publishes") for need in spec.needed]
    plugins = [
        ("...", f"what the plugin {plugin.name} sets or takes away")
        for plugin in spec.plugins
        if hasattr(find_class(plugin), "pre_spawn")
    ]
    head = f"the environment of {spec.name}, as far as it is known without a start (there is none on record):"
    return head, [*sorted(who.items()), *troubles, *needs, *plugins]


def _who(draft: ResolvedServer, variable: str, who: str) -> str:
    """Who set a variable, with the place in the configuration where there is one."""
    env = draft.node.value.get("env")
    node = None if env is None or who != OF_ENV else env.value.get(variable)
    return who if node is None else f"{who}: {place_of(node.place)}"
