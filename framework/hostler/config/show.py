"""The effective configuration as it may be shown: without credentials, with the origin of each value."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

from msgspec import Struct

from hostler.config.dump import dump
from hostler.config.load import Resolution, load_resolved
from hostler.config.provenance import Origin, origins_of, origins_of_control, origins_of_listener
from hostler.config.resolve.control_table import ResolvedControl
from hostler.config.resolve.listener_tables import ResolvedListener
from hostler.config.source.overrides import Settings
from hostler.launching.spec_secrets import secrets_of_spec
from hostler.model.schema.masked import masked
from hostler.model.spec import Configuration
from hostler.model.validation import ResolvedServer
from hostler.plugins.hidden_options import hidden_in
from hostler.secrets.masking import Masker


class Shown(Struct, frozen=True):
    """A configuration, or one server of it, as `hostler show` prints it: no credential is in it.

    `toml` is all of it merged, with variables as they were written; `values` are all values, also defaults.
    """

    toml: str
    values: tuple[Origin, ...]


def show(
    path: str | os.PathLike[str],
    server: str | None = None,
    *,
    profiles: Iterable[str] = (),
    settings: Settings = (),
    environ: Mapping[str, str] | None = None,
) -> Shown:
    """Read a configuration as `load` does, to show it: all of it, or one server.

    Raises InvalidConfiguration as `load`, but not for variables that are not set, and KeyError for a server
    that it does not have.
    """
    read = load_resolved(path, profiles=profiles, settings=settings, environ=environ)
    names = list(read.servers) if server is None else [server]
    listeners, control = (read.listeners, read.control) if server is None else ({}, None)
    toml = masked_toml(read.documented, names, listeners, control)
    return Shown(toml, tuple(_values(read, names, listeners.values(), control)))


def masked_toml(
    configuration: Configuration,
    names: Sequence[str],
    listeners: Mapping[str, ResolvedListener],
    control: ResolvedControl | None,
) -> str:
    """These parts of a configuration as TOML, without credentials."""
    text = dump(only(configuration, names, {"listeners": listeners, "control": control}))
    return Masker(one for listener in listeners.values() for one in hidden_in(listener.spec)).text(text)


def only(configuration: Configuration, names: Sequence[str], rest: Mapping[str, object]) -> Configuration:
    """The configuration with these servers and what is there of the rest, and without credentials."""
    servers = {name: configuration.servers[name] for name in names}
    document = dict(configuration.document)

    if len(names) < len(configuration.servers):
        table = document["servers"]
        assert isinstance(table, dict)
        document["servers"] = {name: table[name] for name in names}

    for table in (name for name in ("listeners", "control") if not rest.get(name)):
        document.pop(table, None)

    shown = masked(document)
    assert isinstance(shown, dict)
    return replace(configuration, servers=servers, document=shown)


def masker_of(server: ResolvedServer) -> Masker:
    """Masks the secrets that stand in the configuration of a server."""
    return Masker(secrets_of_spec(server.spec))


def masker_of_listener(listener: ResolvedListener) -> Masker:
    """Masks the secrets that stand in the options of a listener."""
    return Masker([*listener.spec.secrets, *hidden_in(listener.spec)])


def _values(
    read: Resolution,
    names: Iterable[str],
    listeners: Iterable[ResolvedListener],
    control: ResolvedControl | None,
) -> Iterator[Origin]:
    for name in names:
        server = read.servers[name]
        yield from _masked(origins_of(server), masker_of(server))
    for listener in listeners:
        yield from _masked(origins_of_listener(listener), masker_of_listener(listener))
    yield from () if control is None else origins_of_control(control)


def _masked(origins: Iterable[Origin], masker: Masker) -> Iterator[Origin]:
    return (Origin(one.key, masker.text(one.value), masker.text(one.place)) for one in origins)
