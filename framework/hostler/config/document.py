"""The merged configuration as plain TOML values, before any `${VAR}`: what is written back."""

from __future__ import annotations

from collections.abc import Iterable

from hostler.config.resolve.plugin_secrets import anchored_secrets
from hostler.config.resolve.plugin_tables import is_file
from hostler.model.interpolation import escape
from hostler.model.schema.external_values import anchored_env_file, anchored_secret
from hostler.model.schema.paths import is_anchored, is_path, tidy
from hostler.model.schema.tree import Node, portable
from hostler.model.spec import PluginSpec
from hostler.model.validation import ResolvedServer


def document(drafts: Iterable[ResolvedServer]) -> dict[str, object]:
    """Everything that was configured, written so that it means the same in any folder."""
    return {"servers": {draft.spec.name: _server(draft) for draft in drafts}}


def _server(draft: ResolvedServer) -> dict[str, object]:
    server: dict[str, object] = portable(draft.node)
    command = draft.at("command")

    if draft.spec.command and is_path(command.value[0].value):
        server["command"] = [_anchored(command.value[0]), *portable(command)[1:]]

    cwd = draft.at("cwd")
    server["cwd"] = escape(str(draft.spec.cwd)) if cwd is draft.node else _anchored(cwd)

    if "env" in server:
        server["env"] = {name: _variable(node) for name, node in draft.at("env").value.items()}

    if "env_file" in server:
        server["env_file"] = portable(anchored_env_file(draft.at("env_file")))

    if "plugins" in server:
        specs = {spec.name: spec for spec in draft.spec.plugins}
        plugins = draft.at("plugins").value
        server["plugins"] = {name: _plugin(node, specs.get(name)) for name, node in plugins.items()}

    return server


def _variable(node: Node) -> object:
    return portable(anchored_secret(node) if isinstance(node.value, dict) else node)


def _plugin(node: Node, spec: PluginSpec | None) -> object:
    if spec is None:  # switched off
        return False

    options: dict[str, object] = portable(anchored_secrets(node, spec))
    use = node.value.get("use")

    if use is not None and is_file(use.value):
        options["use"] = _anchored(use)

    return options


def _anchored(node: Node) -> str:
    """The raw text of a path, made absolute where what it stands for is relative."""
    text = str(portable(node))

    if is_anchored(node.value):
        return text

    if node.value == node.raw and text.startswith("${"):  # a variable that is not set: it may be absolute
        return text

    if node.raw is None:
        return escape(str(tidy(node.place.base / text)))

    return f"{escape(str(node.place.base))}/{text}"
