"""A configuration written back as TOML: what was read, before any `${VAR}`, or the specs of a program."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import date, time
from enum import Enum
from pathlib import Path
from typing import TypeVar

from msgspec.structs import replace

from hostler.config.resolve.control_table import ResolvedControl
from hostler.config.resolve.listener_tables import ResolvedListener
from hostler.config.resolve.plugin_tables import is_file, map_secrets
from hostler.errors import InvalidConfiguration, Problem
from hostler.model.dependencies import Need, OnRestart
from hostler.model.interpolation import escape
from hostler.model.schema.paths import is_anchored, is_path, tidy
from hostler.model.schema.server_keys import FILLED_AT_START
from hostler.model.schema.tree import Node, Place, parse_tree, portable, with_children
from hostler.model.secret import Secret
from hostler.model.spec import Configuration, ControlSpec, EnvFile, PluginSpec, RestartPolicy, ServerSpec
from hostler.model.units import Duration, Size
from hostler.model.validation import ResolvedServer
from hostler.text.sanitize import escaped

_Spec = TypeVar("_Spec", ServerSpec, RestartPolicy, ControlSpec)
_FILE = "file:"
_WRITABLE = (dict, list, str, bool, int, float, Enum, date, time, Secret)
# Not a field of its own in TOML, or written in another way than the rest.
_PATHS_OF_CONTROL = frozenset({"socket", "certificate_file", "key_file"})
_APART = frozenset({"name", "needs", "plugins", "restart", "secrets", "unset"})


def dump(configuration: Configuration) -> str:
    """The effective configuration as TOML: what was extended is merged, no variable is filled in.

    A configuration without a document, made of specs in Python, is written from the specs. Raises
    InvalidConfiguration for what TOML cannot hold, such as a plugin object.
    """
    import tomli_w  # noqa: PLC0415 - only who writes needs it

    return escaped(tomli_w.dumps(configuration.document or _document(configuration)))


def document(
    resolved: Iterable[ResolvedServer], listeners: Iterable[ResolvedListener], control: ResolvedControl | None
) -> dict[str, object]:
    """Everything that was configured, written so that it means the same in any folder."""
    servers = {server.spec.name: _server_table(server) for server in resolved}
    tables = {one.spec.name: portable(_anchored_plugin(one.node, one.spec)) for one in listeners}
    return _tables(servers, tables, {} if control is None else portable(_anchored_control(control.node)))


def _tables(servers: object, listeners: object, control: object) -> dict[str, object]:
    rest = {"listeners": listeners, "control": control}
    return {"servers": servers, **{name: table for name, table in rest.items() if table}}


def _anchored_control(table: Node) -> Node:
    """`[control]`, its paths the same seen from any folder."""
    nodes = {
        name: _anchored(node) if name in _PATHS_OF_CONTROL and isinstance(node.value, str) else node
        for name, node in table.value.items()
    }
    return replace(table, value=nodes)


def _server_table(server: ResolvedServer) -> dict[str, object]:
    specs = {server.at("plugins", spec.name).key: spec for spec in server.spec.plugins}
    changes: Mapping[str, Callable[[Node], Node]] = {
        "command": _anchored_program,
        "cwd": _anchored,
        "env": lambda env: with_children(env, _anchored_secret),
        "env_file": _anchored_files,
        "plugins": lambda table: with_children(
            table, lambda node: _anchored_plugin(node, specs.get(node.key))
        ),
    }
    nodes = {
        name: changes[name](node) if name in changes else node for name, node in server.node.value.items()
    }
    table: dict[str, object] = portable(replace(server.node, value=nodes))
    # Without `cwd` it is the folder of the file, which is another one where the text is read again.
    table.setdefault("cwd", escape(str(server.spec.cwd)))
    return table


def _anchored(node: Node, before: str = "") -> Node:
    """A path written so that it is the same one seen from any folder; `before` stands in front of it."""
    path, text = str(node.value).removeprefix(before), str(portable(node)).removeprefix(before)

    # A variable that is not set may be absolute.
    if is_anchored(path) or (node.value == node.source_text and text.startswith("${")):
        return node
    if node.source_text is None:
        return replace(node, source_text=before + escape(str(tidy(node.place.base / text))))

    return replace(node, source_text=f"{before}{escape(str(node.place.base))}/{text}")


def _anchored_program(command: Node) -> Node:
    if not isinstance(command.value, list):  # one reference to the whole line
        return command
    program, *rest = command.value or [None]
    is_file = program is not None and is_path(program.value)
    return replace(command, value=[_anchored(program), *rest]) if is_file else command


def _anchored_secret(node: Node) -> Node:
    """A variable, or the table of a secret, whose file is the same one seen from any folder."""
    if not isinstance(node.value, dict):
        return node
    source = node.value["secret"]
    # What comes out of a variable is not to be written, not even that it is a file.
    is_file = str(source.value).startswith(_FILE) and str(portable(source)).startswith(_FILE)
    return replace(node, value={"secret": _anchored(source, _FILE)}) if is_file else node


def _anchored_files(node: Node) -> Node:
    """The paths in `env_file`: one, or a list of them and of tables."""
    return _anchored(node) if isinstance(node.value, str) else with_children(node, _anchored_files)


def _anchored_plugin(node: Node, spec: PluginSpec | None) -> Node:
    if spec is None:  # switched off
        return node
    node = map_secrets(node, spec, _anchored_secret)
    use = node.value.get("use")
    if use is None or not is_file(use.value):
        return node
    return replace(node, value=node.value | {"use": _anchored(use)})


# -- specs of a program ----------------------------------------------------------------------------


def _document(configuration: Configuration) -> dict[str, object]:
    servers, listeners = configuration.servers, configuration.listeners
    problems = [
        *(
            one
            for name, spec in servers.items()
            for one in _unwritable(f"servers.{name}.plugins", spec.plugins)
        ),
        *_unwritable("listeners", listeners.values()),
    ]
    if problems:
        raise InvalidConfiguration(problems)
    tables = {name: _plugin(spec) for name, spec in listeners.items()}
    written = {name: _server(spec) for name, spec in servers.items()}
    return _tables(written, tables, _changed(configuration.control, ControlSpec()))


def _unwritable(key: str, plugins: Iterable[PluginSpec]) -> Iterator[Problem]:
    seen = set()

    for plugin in plugins:
        place = f"{key}.{plugin.name}"
        if plugin.instance is not None:
            kind = f"{type(plugin.instance).__module__}:{type(plugin.instance).__qualname__}"
            yield Problem(place, f'a plugin object cannot be written as TOML; name its class, use = "{kind}"')
        if plugin.name in seen:
            yield Problem(place, "two plugins of one server have this name")
        seen.add(plugin.name)
        yield from _foreign(place, plugin.options)


def _foreign(key: str, options: Mapping[str, object]) -> Iterator[Problem]:
    """The values in a plugin's options that TOML has no form for."""
    place = Place(None, None, Path())
    for node in parse_tree(options, lambda _: place, key=key).walk():
        for value in node.value if isinstance(node.value, set | frozenset) else [node.value]:
            if not isinstance(value, _WRITABLE):
                yield Problem(node.key, f"a {type(value).__name__} cannot be written as TOML")


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


def _changed(value: _Spec, default: _Spec) -> dict[str, object]:
    """The fields that are not at their defaults."""
    usual = dict(written_fields(default))
    return {name: one for name, one in written_fields(value) if name not in usual or one != usual[name]}


def written_fields(spec: ServerSpec | RestartPolicy | ControlSpec) -> Iterator[tuple[str, object]]:
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
    return _written(value) if name in FILLED_AT_START or not isinstance(value, str) else escape(value)


def _plugin(plugin: PluginSpec) -> dict[str, object]:
    options = {name: _written(value) for name, value in plugin.options.items()}
    if plugin.use is not None:
        base = plugin.base if is_file(plugin.use) else None
        options["use"] = escape(plugin.use if base is None else str(base / plugin.use))
    return options


def _written(value: object) -> object:  # noqa: PLR0911 - a table
    match value:
        case Mapping():
            return {name: _written(child) for name, child in value.items()}
        case list() | tuple() | set() | frozenset():
            return [_written(child) for child in (value if isinstance(value, Sequence) else sorted(value))]
        case Secret(path=path):
            return {"secret": escape(value.secret if path is None else f"file:{path.absolute()}")}
        case EnvFile(path=path, optional=optional):
            written = escape(str(path.absolute()))
            return {"path": written, "optional": True} if optional else written
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

    # 1e-5 s has no whole number of milliseconds: it is written in seconds, digit by digit.
    milliseconds = f"{round(value * 1000)}ms"
    if value < 1 and Duration.parse(milliseconds) == value:
        return milliseconds if value else "0s"
    text = format(Decimal(repr(float(value))), "f")
    return f"{text.removesuffix('.0')}s"
