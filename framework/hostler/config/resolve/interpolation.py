"""`${...}` filled into the strings of a tree; each string remembers its source text for messages."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Mapping
from typing import TypeAlias

from msgspec import Struct, field
from msgspec.structs import replace

from hostler.model.interpolation import (
    PARTS,
    InterpolationError,
    Reference,
    UndefinedName,
    defaults,
    expand,
    names,
)
from hostler.model.schema.diagnostics import Diagnostics, likely, shown
from hostler.model.schema.tree import Node, with_children
from hostler.secrets.credentials import is_secret_name

_OWN_ADDRESS = frozenset({"server.port", "server.url"})
_OF_A_SERVER = ("server.name", "server.host", "server.port", "server.url", "servers.NAME.port")
# ${servers.db} and ${db.url}, which lack a part; ${env:NAME}, ${NAME:?message}, ${NAME-default}.
_OF_A_SERVER_ALONE = r"servers\.[A-Za-z0-9_-]+|(?!(?:servers?|config|hostler)\.)[\w-]+\.(?:url|port|host)"
_OTHER_FORM = r"(?a)(?<!\$)\$\{(?:env[:.])?(?P<name>[A-Za-z_]\w*)(?P<form>-|:?\?|$|(?=\}))"
_EVERYWHERE = ("config.dir", "hostler.python")

Keep: TypeAlias = Callable[[str], bool] | None


def is_known_at_start(name: str) -> bool:
    """Whether it is known only when a server is started: its own address, and those of others."""
    return name in _OWN_ADDRESS or Reference.parse(name) is not None


class Names(Struct, frozen=True):
    """What `${...}` can mean: the environment, and what is known of the server around it.

    `secrets` gathers what was filled in for names of secrets. `may_lack`: a variable that is not set is no
    mistake of the file, as with that of a server.
    """

    environ: Mapping[str, str]
    server: Mapping[str, str] = field(default_factory=dict)
    has_port: bool = True
    may_lack: bool = False
    secrets: set[str] = field(default_factory=set)

    def value(self, name: str, node: Node) -> str | None:
        """The value of a name where it stands in `node`, None where it has none."""
        match name:
            case "config.dir":
                return str(node.place.base)
            case "hostler.python":
                return sys.executable
            case _:
                return self.server.get(name) if "." in name else self.environ.get(name)


def fill(node: Node, known: Names, found: Diagnostics, *, keep: Keep = None) -> Node:
    """Fill in every string at and below a node; `keep` as in `expand`. A plugin that is off is left alone."""
    text = node.value
    if node.off:
        return node
    if isinstance(text, str) and "$" in text:
        return replace(node, value=_filled(node, text, known, found, keep), source_text=text)
    return with_children(node, lambda child: fill(child, known, found, keep=keep))


def fill_env(node: Node, known: Names, found: Diagnostics) -> Node:
    """Fill in the strings of `env`; where a secret is has to be known at once."""

    def filled(child: Node) -> Node:
        is_text = isinstance(child.value, str) or not isinstance(node.value, dict)
        return fill(child, known, found, keep=is_known_at_start if is_text else None)

    return with_children(node, filled) if node.children else filled(node)


def _filled(node: Node, text: str, known: Names, found: Diagnostics, keep: Keep) -> str:
    def lookup(name: str) -> str | None:
        value = known.value(name, node)
        found.count_filled(node, len(value or ""))
        # Wherever it ends up, in a command line or a path, it is masked from now on.
        if value and is_secret_name(name):
            known.secrets.add(value)
        return value

    # A default stands in the file in clear, but it is the same secret once it is filled in.
    known.secrets.update(value.replace("$$", "$") for name, value in defaults(text) if is_secret_name(name))

    try:
        if keep and not known.has_port:
            for name in _OWN_ADDRESS.intersection(names(text)):
                found.add(node, f"${{{name}}} means nothing here: the server has no port (port = false)")
        return expand(text, lookup, keep=keep)
    except UndefinedName as error:
        _undefined(node, error.name, known, found)
    except InterpolationError as error:
        found.add(node, f"{error}, found {shown(node)}", proposal=_likely_form(text))

    return text


def _undefined(node: Node, name: str, known: Names, found: Diagnostics) -> None:
    if is_known_at_start(name) and known.server:
        found.add(node, f"${{{name}}} is known only at the start: use it in command, env and plugin options")
    elif name == "server.host" and known.server:
        found.add(node, "${server.host} is what this key itself sets")
    elif name.startswith("env."):
        found.add(node, f"${{{name}}} is not defined", proposal=f"${{{name.removeprefix('env.')}}}")
    elif re.fullmatch(_OF_A_SERVER_ALONE, name) and known.server:
        server, _, part = name.removeprefix("servers.").partition(".")
        proposal = f"${{servers.{server}.{part or 'url'}}}"
        found.add(node, f"${{{name}}} is not defined", proposal=proposal)
    elif "." in name:
        words = [f"${{{word}}}" for word in (*_EVERYWHERE, *(_of_servers(name) if known.server else ()))]
        found.unknown(node, f"${{{name}}}", words, what=f"${{{name}}} is not defined")
    else:
        word = likely(name, known.environ)
        default = "" if word else f" (${{{name}:-default}} would give it a default)"
        if known.server and name.lower() in {"port", "host", "url"}:
            word, default = "", f"; ${{server.{name.lower()}}} is that of the server"
        message = f"${{{name}}} is not defined: there is no such environment variable{default}"
        # Only the server that refers to it cannot start; what belongs to no server stops all of them.
        found.add(
            node,
            message,
            proposal=f"${{{word}}}" if word else "",
            is_unset=bool(known.server) or known.may_lack,
        )


def _likely_form(text: str) -> str:
    """The reference that a form of a shell, or of another tool, was probably meant as; never a default."""
    for found in re.finditer(_OTHER_FORM, text):
        name, form = found["name"], found["form"]
        return f"${{{name}:-...}}" if form == "-" else f"${{{name}}}"
    return ""


def _of_servers(name: str) -> list[str]:
    """The names that servers bring; those of another server, where `name` seems to mean one."""
    parts = name.split(".")
    return [*_OF_A_SERVER, *(f"servers.{parts[1]}.{part}" for part in PARTS if len(parts) == 3)]
