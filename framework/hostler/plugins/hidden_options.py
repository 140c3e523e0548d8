"""What a plugin keeps out of its repr, `field(repr=False)`: such as an address that is a secret itself."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass

from hostler.errors import PluginError
from hostler.model.interpolation import strings
from hostler.model.spec import PluginSpec


def hidden_of(plugin: object) -> Iterator[str]:
    """The texts that an object keeps out of its repr, and what is secret in them."""
    for one in fields(plugin) if is_dataclass(plugin) else ():
        for text in () if one.repr else strings(getattr(plugin, one.name, None)):
            yield from secrets_in(text)


def hidden_in(spec: PluginSpec) -> Iterator[str]:
    """Those of its options; nothing where its class cannot be found."""
    from hostler.plugins.options import option_fields, plugin_class  # noqa: PLC0415 - only for who has any

    try:
        hidden = [name for name, one in option_fields(plugin_class(spec)).items() if not one.repr]
    except PluginError:
        return
    for name in hidden:
        for text in strings(_without_sources(spec.options.get(name))):
            yield from secrets_in(text.replace("$$", "$"))


def secrets_in(text: str) -> tuple[str, str]:
    """A secret, and what it holds: of an address, what stands behind the host."""
    return text, text.partition("://")[2].partition("/")[2]


def _without_sources(value: object) -> object:
    """An option without the tables that only tell where a secret is."""
    if not isinstance(value, Mapping):
        return value
    return None if set(value) == {"secret"} else {key: _without_sources(one) for key, one in value.items()}
