"""Which variables of the environment a configuration refers to, and which its servers are given of it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from fnmatch import fnmatchcase
from typing import TypeVar

from hostler.config.resolve.instantiate import TemplateInstantiator
from hostler.errors import PluginError, Problem
from hostler.model.interpolation import MalformedReference, names, strings
from hostler.model.schema.tree import Node, plain
from hostler.model.secret import Secret
from hostler.model.spec import Configuration, ListenerSpec, PluginSpec, ServerSpec

Spec = TypeVar("Spec", ServerSpec, ListenerSpec)

_VARIABLE = "env:"


class NotedEnviron(Mapping[str, str]):
    """An environment that notes which variables were looked up in it."""

    def __init__(self, values: Mapping[str, str]) -> None:
        self._values = values
        self.asked: set[str] = set()

    def __getitem__(self, name: str) -> str:
        self.asked.add(name)
        return self._values[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)


def words_of(configuration: Configuration) -> set[str]:
    """The variables, by name or pattern, that are read at a start, and those that its templates refer to.

    What was filled in when it was read is not among them: a NotedEnviron knows that.
    """
    found: set[str] = set()
    specs: list[ServerSpec | ListenerSpec] = [*configuration.servers.values()]
    for spec in [*specs, *configuration.listeners.values()]:
        found.update(_words_of_spec(spec))
    for template in configuration.templates.values():
        if isinstance(template, TemplateInstantiator):
            found.update(_words_of_template(template))
    return found


def with_environ(
    configuration: Configuration, environ: Mapping[str, str | None], lost: Collection[str] = ()
) -> Configuration:
    """The same with these variables in place of hostler's own, for whatever reads or hands on one of them.

    A secret of a variable that was `lost` is noted as unset.
    """
    servers, listeners = configuration.servers.items(), configuration.listeners.items()
    return replace(
        configuration,
        servers={name: _given(spec, environ, lost) for name, spec in servers},
        listeners={name: _given(spec, environ, lost) for name, spec in listeners},
        templates={name: _Handed(make, environ, lost) for name, make in configuration.templates.items()},
    )


def _given(spec: Spec, environ: Mapping[str, str | None], lost: Collection[str]) -> Spec:
    """The spec with those of these variables that it asks for, by name or pattern."""
    words = list(_words_of_spec(spec))
    part: dict[str, str | None] = {
        name: value for name, value in environ.items() if any(fnmatchcase(name, word) for word in words)
    }
    unset = (*spec.unset, *_unset(spec, lost))
    # Most ask for none, and to make a spec is to check it.
    return replace(spec, environ=part, unset=unset) if part or unset != spec.unset else spec


def _unset(spec: ServerSpec | ListenerSpec, lost: Collection[str]) -> Iterator[Problem]:
    """The secrets that cannot be read without these variables."""
    if isinstance(spec, ListenerSpec):
        tables = {f"listeners.{spec.name}": spec.options}
    else:
        plugins = {f"servers.{spec.name}.plugins.{one.name}": one.options for one in spec.plugins}
        tables = {f"servers.{spec.name}.env": spec.env, **plugins}
    for place, table in tables.items():
        for key, value in table.items():
            for name in _variables_of_secrets(value):
                if name in lost:
                    yield Problem(f"{place}.{key}", f"cannot read secret env:{name}: it is not set, or empty")


class _Handed:
    """A template whose servers have these variables in place of hostler's own."""

    def __init__(
        self, make: Callable[..., ServerSpec], environ: Mapping[str, str | None], lost: Collection[str]
    ) -> None:
        self._make = make
        self._given = environ, lost

    def __call__(self, name: str, /, **parameters: object) -> ServerSpec:
        return _given(self._make(name, **parameters), *self._given)


def _words_of_spec(spec: ServerSpec | ListenerSpec) -> Iterator[str]:
    if isinstance(spec, ListenerSpec):
        yield from _words_of_plugin(spec)
        return
    yield from _variables_of_secrets(spec.env)
    for plugin in spec.plugins:
        yield from _words_of_plugin(plugin)


def _words_of_template(made: TemplateInstantiator) -> Iterator[str]:
    for body in (made.template.body, made.defaults.body):
        if body is not None:
            table = plain(body)
            yield from _references(strings(table))
            yield from _variables_of_secrets(table)
            plugins = body.table.get("plugins")
            for name, node in () if plugins is None else plugins.table.items():
                yield from _words_of_plugin(_plugin(name, node))


def _plugin(name: str, node: Node) -> PluginSpec:
    options = {key: plain(child) for key, child in node.table.items()}
    use = options.pop("use", None)
    return PluginSpec(name, options, use if isinstance(use, str) else None)


def _words_of_plugin(plugin: PluginSpec) -> Iterator[str]:
    from hostler.plugins.options import option_fields, plugin_class  # noqa: PLC0415 - brings all plugins

    yield from _variables_of_secrets(plugin.options)
    with suppress(PluginError):
        class_ = type(plugin.instance) if plugin.instance is not None else plugin_class(plugin)
        for name, field in option_fields(class_).items():
            if field.metadata.get("from_environ"):
                yield from strings(plugin.options.get(name))


def _references(texts: Iterable[str]) -> Iterator[str]:
    for text in texts:
        with suppress(MalformedReference):
            yield from (name for name in names(text) if "." not in name)


def _variables_of_secrets(value: object) -> Iterator[str]:
    match value:
        case Secret(secret=source) | {"secret": str(source)} if source.startswith(_VARIABLE):
            yield source.removeprefix(_VARIABLE)
        case Mapping():
            for item in value.values():
                yield from _variables_of_secrets(item)
        case list() | tuple():
            for item in value:
                yield from _variables_of_secrets(item)
