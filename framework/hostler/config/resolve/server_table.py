"""From the tree of one server to its spec."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache, partial
from pathlib import Path
from types import MappingProxyType
from typing import Any

from msgspec.structs import replace

from hostler.config.resolve.context import ResolveContext
from hostler.config.resolve.interpolation import Names, fill, fill_env, is_known_at_start
from hostler.config.resolve.plugin_tables import read_plugins
from hostler.model.choices import Kind
from hostler.model.interpolation import escape, expand, names
from hostler.model.schema import foreign_words
from hostler.model.schema.command import command
from hostler.model.schema.diagnostics import Diagnostics
from hostler.model.schema.external_values import env_files, path, variables
from hostler.model.schema.fields import Reader, entries
from hostler.model.schema.paths import is_path, tidy
from hostler.model.schema.python_values import server_name
from hostler.model.schema.server_keys import FILLED_AT_START, IN_SERVER, SERVER_KEYS, TOP, readers
from hostler.model.schema.tree import Node
from hostler.model.spec import ServerSpec, replace_unchecked
from hostler.model.validation import ResolvedServer

_DEFAULT_HOST = "127.0.0.1"


def read_server(name: str, node: Node, context: ResolveContext, found: Diagnostics) -> ResolvedServer | None:
    """Read one server; mistakes go to the findings."""
    named, before = server_name(replace(node, value=name), found), len(found.unset)

    if not isinstance(node.value, dict):
        found.expected(node, f"a table, [{node.key}]")
        return None

    if name == "plugins" and not node.value.keys() & {"command", "plugins", "template"}:
        found.add(node, "plugins belong to a server: write [servers.NAME.plugins]")
        return None

    _note_dotted_names(node, found)
    node, known = _filled(name, node, context, found)
    values: dict[str, Any] = {"name": name, "cwd": tidy(context.folder)}
    if known.secrets:
        values["secrets"] = frozenset(known.secrets)
    values |= entries(node, _fields(context), found) or {}

    if _has_no_port(node):
        values["port"] = None

    # No mistake of the file: the server itself fails when it is started, the others run.
    values["unset"] = tuple(found.unset[before:])

    # A part of the needs would only give mistakes that follow from the first.
    if "needs" in node.value and found.has_problem(node.value["needs"]):
        values.pop("needs", None)

    return None if named is None else ResolvedServer(node, replace_unchecked(_plain(), **values))


@lru_cache(maxsize=1)
def _plain() -> ServerSpec:
    """A server of which nothing is configured."""
    return ServerSpec(name="server", cwd=Path("/"))


def _note_dotted_names(node: Node, found: Diagnostics) -> None:
    """Note tables that were meant as servers: the dot in [servers.my.web] makes web a key of my."""
    for name, child in node.value.items():
        if name not in IN_SERVER and child.table.keys() & SERVER_KEYS.keys():
            header = f"[servers.{node.key.partition('.')[2]}-{name}]"
            found.add(child, f"a server's name has no dot, which begins a table within it; write {header}")


# What to write, for what other tools have at the top of a file.
_HEADERS: Mapping[str, str] = MappingProxyType(
    {
        "write [servers.NAME]": (
            "apps container containers install process processes program programs service services tool unit"
        ),
        'write [servers.NAME] with kind = "task"': "job jobs task tasks",
        'write extends = ["other.toml"]': "base import imports include includes inherits",
        "what all servers have in common stands in [defaults]": (
            "all common config default global globals hostler options settings"
        ),
        "leave it out: hostler asks for none": "description name title version",
        "hostler import Procfile writes its processes as TOML": "procfile",
    }
)


def suggest_place(name: str, node: Node) -> str:
    """Where a key belongs, for a message; "" where that is not known."""
    from hostler.plugins.discovery import installed  # noqa: PLC0415 - only this message needs it

    if name == "extends" and isinstance(node.value, str):
        return '; a server is made of a template: write template = "NAME"'
    if name == "profiles":
        return "; a profile has its own tables, [profiles.NAME.servers.NAME]"
    if name in TOP:
        return "; it belongs to the top of the file, above the first [table]"
    is_plugin = name in installed() and not isinstance(node.value, list)
    return f"; it is a plugin: write plugins.{name}" if is_plugin else ""


def suggest_header(name: str, node: Node) -> str:
    """Where what stands at the top of a file by mistake belongs; "" where that is not known."""
    if name == "plugins":
        return "; write [servers.NAME.plugins]"
    if name.startswith("servers."):
        return f"; write [{name}], without quotes"
    if name in SERVER_KEYS or (foreign_words.is_command(name) and not isinstance(node.value, dict)):
        return "; it is a key of a server: write it below [servers.NAME]"
    if suggest_place(name, node).startswith("; it is a plugin"):
        return f"; it is a plugin: write {name} below [servers.NAME.plugins]"
    meant = next((meant for meant, words in _HEADERS.items() if name.lower() in words.split()), "")
    if meant:
        return f"; {meant}"
    return f"; write [servers.{name}]" if "command" in node.table else ""


def _fields(context: ResolveContext) -> dict[str, Reader]:
    """The readers of a server's keys, with those that need to know where they are."""
    located: Mapping[str, Callable[..., Any]] = {
        "command": _command,
        "cwd": path,
        "env": variables,
        "env_file": env_files,
    }
    return {
        **readers(SERVER_KEYS),
        **{name: partial(read, environ=context.environ) for name, read in located.items()},
        "plugins": partial(read_plugins, context=context),
        "template": lambda _node, _found: None,  # what it gives stands in the table already
    }


def _filled(name: str, node: Node, context: ResolveContext, found: Diagnostics) -> tuple[Node, Names]:
    """The table of a server with every string filled in, and what `${...}` means in it."""
    known = Names(context.environ, {"server.name": name}, has_port=not _has_no_port(node))
    table = dict(node.value)

    own = {"server.name": name, "server.host": _DEFAULT_HOST}
    if "host" in table:
        # The host may use the name; everything else may use both.
        table["host"] = fill(table["host"], known, found)
        own["server.host"] = str(table["host"].value)
    known = Names(context.environ, own, known.has_port, secrets=known.secrets)

    for key, child in table.items():
        if key == "env":
            table[key] = fill_env(child, known, found)
        elif key != "host" and key in SERVER_KEYS:  # a mistake in an unknown key only follows from that
            table[key] = fill(child, known, found, keep=is_known_at_start if key in FILLED_AT_START else None)

    return replace(node, value=table), known


def _has_no_port(node: Node) -> bool:
    is_task = "kind" in node.value and node.value["kind"].value == Kind.TASK.value
    return is_task or ("port" in node.value and node.value["port"].value is False)


def _command(node: Node, found: Diagnostics, environ: Mapping[str, str]) -> tuple[str, ...] | None:
    """The command, its program made absolute where that is given by a path."""
    words = command(node, found)
    if not words or not is_path(words[0]) or names(words[0]):
        return words
    program = path(
        replace(
            node.value[0] if isinstance(node.value, list) else node, value=expand(words[0], lambda _: None)
        ),
        found,
        environ,
    )
    # All words of a command are filled in once more when it is started.
    return None if program is None else (escape(str(program)), *words[1:])
