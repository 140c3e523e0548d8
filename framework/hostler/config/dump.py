"""A configuration written back as TOML: what was read, before any `${VAR}`, or the specs of a program."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from datetime import date, time
from enum import Enum
from pathlib import Path

from hostler.config.resolve.plugin_tables import is_file, with_changed_secrets
from hostler.errors import InvalidConfiguration, Problem
from hostler.model.dependencies import Need, OnRestart
from hostler.model.interpolation import escape
from hostler.model.schema.paths import is_anchored, is_path, tidy
from hostler.model.schema.server_keys import TEMPLATES
from hostler.model.schema.tree import Node, portable
from hostler.model.spec import Configuration, EnvFile, PluginSpec, RestartPolicy, ServerSpec
from hostler.model.units import Duration, Size
from hostler.model.validation import ResolvedServer
from hostler.secrets.reference import Secret
from hostler.text.sanitize import escaped

_FILE = "file:"
# Not a field of its own in TOML, or written in another way than the rest.
_APART = frozenset({"name", "needs", "plugins", "restart", "secrets", "unset"})


def dump(configuration: Configuration) -> str:
    """The effective configuration as TOML: what was extended is merged, no variable is filled in.

    A configuration without a document, made of specs in Python, is written from the specs. Raises
    InvalidConfiguration for what TOML cannot hold, such as a plugin object.
    """
    import tomli_w  # noqa: PLC0415 - only who writes needs it

    return escaped(tomli_w.dumps(configuration.document or _document(configuration.servers)))


def document(resolved: Iterable[ResolvedServer]) -> dict[str, object]:
    """Everything that was configured, written so that it means the same in any folder."""
    return {"servers": {server.spec.name: _server_table(server) for server in resolved}}


def _server_table(server: ResolvedServer) -> dict[str, object]:
    table: dict[str, object] = portable(server.node)
    command = server.at("command")
    if server.spec.command and is_path(command.value[0].value):
        table["command"] = [_anchored(command.value[0]), *portable(command)[1:]]

    cwd = server.at("cwd")
    table["cwd"] = escape(str(server.spec.cwd)) if cwd is server.node else _anchored(cwd)

    if "env" in table:
        table["env"] = {name: _variable(node) for name, node in server.at("env").value.items()}

    if "env_file" in table:
        table["env_file"] = portable(_anchored_env_file(server.at("env_file")))

    if "plugins" in table:
        specs = {spec.name: spec for spec in server.spec.plugins}
        plugins = server.at("plugins").value
        table["plugins"] = {name: _plugin_table(node, specs.get(name)) for name, node in plugins.items()}

    return table


def _variable(node: Node) -> object:
    return portable(_anchored_secret(node) if isinstance(node.value, dict) else node)


def _plugin_table(node: Node, spec: PluginSpec | None) -> object:
    if spec is None:  # switched off
        return False
    options: dict[str, object] = portable(with_changed_secrets(node, spec, _anchored_secret))
    use = node.value.get("use")
    if use is not None and is_file(use.value):
        options["use"] = _anchored(use)
    return options


def _anchored(node: Node) -> str:
    """The source text of a path, made absolute where what it stands for is relative."""
    text = str(portable(node))

    if is_anchored(node.value):
        return text

    # A variable that is not set may be absolute.
    if node.value == node.source_text and text.startswith("${"):
        return text
    if node.source_text is None:
        return escape(str(tidy(node.place.base / text)))

    return f"{escape(str(node.place.base))}/{text}"


def _anchored_secret(node: Node) -> Node:
    """The table of a secret whose file is written so that it is the same one seen from any folder."""
    source = node.value["secret"]
    written, raw = str(source.value), str(portable(source))
    if not written.startswith(_FILE) or is_anchored(written.removeprefix(_FILE)):
        return node
    if not raw.startswith(_FILE):  # it comes out of a variable, which is not to be written
        return node
    return replace(node, value={"secret": _at_base(source, raw.removeprefix(_FILE), _FILE)})


def _at_base(node: Node, text: str, before: str = "") -> Node:
    return replace(node, source_text=f"{before}{escape(str(node.place.base))}/{text}")


def _anchored_env_file(node: Node) -> Node:
    """What `env_file` holds, written so that it means the same files in any folder."""
    match node.value:
        case list() as items:
            return replace(node, value=[_anchored_env_file(item) for item in items])
        case dict() as table:
            return replace(node, value=table | {"path": _anchored_env_file(table["path"])})
        case str() as path if not is_anchored(path):
            return _at_base(node, str(portable(node)) if node.source_text is not None else escape(path))
        case _:
            return node


# -- specs of a program ----------------------------------------------------------------------------


def _document(servers: Mapping[str, ServerSpec]) -> dict[str, object]:
    problems = [problem for name, spec in servers.items() for problem in _unwritable(f"servers.{name}", spec)]
    if problems:
        raise InvalidConfiguration(problems)
    return {"servers": {name: _server(spec) for name, spec in servers.items()}}


def _unwritable(key: str, spec: ServerSpec) -> Iterator[Problem]:
    seen = set()

    for plugin in spec.plugins:
        place = f"{key}.plugins.{plugin.name}"
        if plugin.instance is not None:
            kind = f"{type(plugin.instance).__module__}:{type(plugin.instance).__qualname__}"
            yield Problem(place, f'a plugin object cannot be written as TOML; name its class, use = "{kind}"')
        if plugin.name in seen:
            yield Problem(place, "two plugins of one server have this name")
        seen.add(plugin.name)
        yield from _foreign(place, plugin.options)


def _foreign(key: str, value: object) -> Iterator[Problem]:
    """The values in a plugin's options that TOML has no form for."""
    match value:
        case Mapping():
            for name, child in value.items():
                yield from _foreign(f"{key}.{name}", child)
        case list() | tuple() | set() | frozenset():
            for number, child in enumerate(value):
                yield from _foreign(f"{key}[{number}]", child)
        case str() | bool() | int() | float() | Path() | Enum() | date() | time() | Secret():
            pass
        case _:
            yield Problem(key, f"a {type(value).__name__} cannot be written as TOML")


def _server(spec: ServerSpec) -> dict[str, object]:
    default = ServerSpec(name=spec.name, cwd=spec.cwd)
    server = _changed(spec, default)
    server["cwd"] = escape(str(spec.cwd))

    if spec.port is None:  # to `_changed`, False is the default, 0
        server["port"] = False

    if spec.needs:
        server["needs"] = _needs(spec)

    if spec.restart != default.restart:
        server["restart"] = _changed(spec.restart, default.restart)

    if spec.plugins:
        server["plugins"] = {plugin.name: _plugin(plugin) for plugin in spec.plugins}

    return server


def _needs(spec: ServerSpec) -> object:
    """A list of names where all that is asked for of each is to be ready; else a table."""
    if all(need == Need(need.server) for need in spec.needed):
        return [escape(need.server) for need in spec.needed]
    return {
        need.server: need.condition.value
        if need.on_restart is OnRestart.KEEP
        else {"condition": need.condition.value, "on_restart": need.on_restart.value}
        for need in spec.needed
    }


def _changed(value: ServerSpec | RestartPolicy, default: ServerSpec | RestartPolicy) -> dict[str, object]:
    """The fields that are not at their defaults."""
    usual = dict(written_fields(default))
    return {name: one for name, one in written_fields(value) if name not in usual or one != usual[name]}


def written_fields(spec: ServerSpec | RestartPolicy) -> Iterator[tuple[str, object]]:
    """The fields that have a value and a key of their own, as TOML values."""
    for field in dataclasses.fields(spec):
        value = getattr(spec, field.name)
        value = False if field.name == "port" and value is None else value
        if field.name not in _APART and value is not None:
            yield field.name, as_written(field.name, value)


def as_written(name: str, value: object) -> object:
    """The value of a field of a spec as it stands in TOML."""
    if isinstance(value, float):  # every one of a spec is a time
        return _seconds(value)
    return _written(value) if name in TEMPLATES or not isinstance(value, str) else escape(value)


def _plugin(plugin: PluginSpec) -> dict[str, object]:
    options = {name: _written(value) for name, value in plugin.options.items()}
    if plugin.use is not None:
        options["use"] = escape(_absolute(plugin))
    return options


def _absolute(plugin: PluginSpec) -> str:
    use = plugin.use or ""
    return use if plugin.base is None or not is_file(use) else str(plugin.base / use)


def _written(value: object) -> object:
    match value:
        case Mapping():
            return {name: _written(child) for name, child in value.items()}
        case list() | tuple():
            return [_written(child) for child in value]
        case set() | frozenset():
            return [_written(child) for child in sorted(value)]
        case Secret(path=path):
            return {"secret": escape(value.secret if path is None else f"file:{path.absolute()}")}
        case EnvFile(path=path, optional=optional):
            written = escape(str(path.absolute()))
            return {"path": written, "optional": True} if optional else written
        case _:
            return _scalar(value)


def _scalar(value: object) -> object:
    match value:
        case Enum():
            return value.value
        case Path():
            return escape(str(value))
        case Duration():
            return _seconds(value)
        case Size():
            return f"{int(value)} B"
        case _:
            return value


def _seconds(value: float) -> str:
    """A duration that reads back as the same number, in milliseconds where that is shorter."""
    from decimal import Decimal  # noqa: PLC0415 - only who writes needs it

    milliseconds = f"{round(value * 1000)}ms"
    if value < 1 and Duration.parse(milliseconds) == value:
        return milliseconds if value else "0s"
    text = format(Decimal(repr(float(value))), "f")
    return f"{text.removesuffix('.0')}s"
