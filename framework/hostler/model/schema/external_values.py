"""Paths, secrets, and files of variables: only where they stand is configured."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from hostler.model.schema.diagnostics import Diagnostics, likely, shown
from hostler.model.schema.fields import entries, flag, text, word
from hostler.model.schema.paths import absolute
from hostler.model.schema.tree import Node, quoted
from hostler.model.secret import FORM, Secret
from hostler.model.spec import EnvFile
from hostler.secrets.credentials import MASK, is_secret_name

_VARIABLE = r"[A-Za-z_][A-Za-z0-9_.-]*"
_FILE = "file:"
_SCHEMES = ("env", "file")
_NOTHING: Mapping[str, str] = MappingProxyType({})


def path(node: Node, found: Diagnostics, environ: Mapping[str, str] = _NOTHING) -> Path | None:
    """A path, seen from where it is written; `~` is the home of `environ`."""
    written = word(node, found)
    return None if written is None else located(written, node, found, environ)


def located(text: str, node: Node, found: Diagnostics, environ: Mapping[str, str]) -> Path | None:
    """The place of a path that stands in a node."""
    try:
        return absolute(text, node.place.base, environ)
    except ValueError as error:
        found.expected(node, str(error))
        return None


# -- secrets ---------------------------------------------------------------------------------------


def variables(
    node: Node, found: Diagnostics, environ: Mapping[str, str] = _NOTHING
) -> dict[str, str | Secret] | None:
    """A table of environment variables: strings, and `{ secret = "env:NAME" }`."""
    if not isinstance(node.value, dict):
        found.expected(node, f"a table of strings, such as {{ {_assignments(node)} }}")
        return None
    values = {name: _variable(name, child, found, environ) for name, child in node.value.items()}
    return {name: value for name, value in values.items() if value is not None}


def _assignments(node: Node) -> str:
    """The example for `env`: where "A=B" was written, as compose and systemd have it, that as TOML."""
    first = node.value[0] if isinstance(node.value, list) and node.value else node
    text = first.value if isinstance(first.value, str) and first.source_text is None else ""
    name, equals, value = text.partition("=")
    if not equals or not re.fullmatch(_VARIABLE, name):
        return 'NAME = "value"'
    return f"{name} = {quoted(MASK if is_secret_name(name) else value)}"


def _variable(name: str, node: Node, found: Diagnostics, environ: Mapping[str, str]) -> str | Secret | None:
    if not re.fullmatch(_VARIABLE, name):
        found.add(node, "not a name for a variable: letters, digits, _, . and -, a letter or _ first")
        return None
    if isinstance(node.value, Secret):  # of a program
        return node.value
    return secret(node, found, environ) if isinstance(node.value, dict) else text(node, found)


def secret(node: Node, found: Diagnostics, environ: Mapping[str, str]) -> Secret | None:
    """A table that says where a secret is; a relative path is made absolute."""
    if not any(name == "secret" or likely(name, ["secret"]) for name in node.value):
        found.expected(node, f"a string, or {{ secret = {FORM} }}")
        return None
    for name, child in node.value.items():
        if name != "secret":
            found.unknown(child, name, ["secret"])
    source = text(node.value["secret"], found) if "secret" in node.value else None
    return (
        None if source is None or found.has_problem(node) else _secret(node.value["secret"], found, environ)
    )


def _secret(node: Node, found: Diagnostics, environ: Mapping[str, str]) -> Secret | None:
    """The secret that a source names. A wrong source is not shown: it may be the secret itself."""
    source = node.value
    try:
        Secret(source)
    except ValueError as error:
        # A password that was pasted in place of its source must not be shown.
        is_written = node.source_text in {None, source}
        found.add(node, str(error), proposal=_proposal(source) if is_written else "")
        return None

    if not source.startswith(_FILE):
        return Secret(source)

    try:
        return Secret(f"{_FILE}{absolute(source.removeprefix(_FILE), node.place.base, environ)}")
    except ValueError as error:
        found.add(node, f"expected {error}")
        return None


def _proposal(source: str) -> str:
    scheme, colon, place = source.partition(":")
    meant = likely(scheme.lower(), _SCHEMES) if colon and place else ""
    if meant:
        return f"{meant}:{place}"
    variable = re.fullmatch(r"\$\{?([A-Z][A-Z0-9_]{1,39})\}?", source)
    if variable is not None:
        return f"env:{variable[1]}"
    # Letters alone, and the name of a secret: this is no secret itself.
    if re.fullmatch(r"[A-Z][A-Z_]{1,39}", source) and is_secret_name(source):
        return f"env:{source}"
    return f"{_FILE}{source}" if source.startswith(("/", "./", "../", "~/")) else ""


# -- files of variables ----------------------------------------------------------------------------


def env_files(
    node: Node, found: Diagnostics, environ: Mapping[str, str] = _NOTHING
) -> tuple[EnvFile, ...] | None:
    """A file of variables, or a list of them; each a path, or a table that may say `optional = true`."""
    items = node.value if isinstance(node.value, list) else [node]
    files = [_env_file(item, found, environ) for item in items]
    return None if None in files else tuple(file for file in files if file is not None)


def _env_file(node: Node, found: Diagnostics, environ: Mapping[str, str]) -> EnvFile | None:
    if isinstance(node.value, EnvFile):  # of a program
        return node.value
    values = {"path": word(node, found)} if isinstance(node.value, str) else _table(node, found)
    written = values.get("path")
    if written is None or found.has_problem(node):
        return None
    path = located(written, node, found, environ)
    return None if path is None else EnvFile(path, bool(values.get("optional")))


def _table(node: Node, found: Diagnostics) -> dict[str, Any]:
    if not isinstance(node.value, dict):
        found.expected(node, 'a path, or a table such as { path = ".env.local", optional = true }')
        return {}
    values = entries(node, {"path": word, "optional": flag}, found) or {}
    if "path" not in node.value and not found.has_problem(node):
        found.add(node, f"there is no path, found {shown(node)}", key=f"{node.key}.path")
    return values
