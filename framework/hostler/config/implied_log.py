"""The log that a server has without being told to: so that `hostler logs` can show what it has printed.

Where clients can reach hostler, log-rotation keeps its index. In the background nobody sees the output
otherwise, so each server has a log there, unless it is switched off or another plugin writes one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial

from hostler.config.load import Resolution
from hostler.model.choices import OutputMode
from hostler.model.spec import Configuration, PluginSpec, ServerSpec, replace_unchecked
from hostler.model.validation import ResolvedServer
from hostler.plugins.discovery import find_class

LOG = "log-rotation"
INDEX = "index"


def with_logs(read: Resolution, *, in_background: bool) -> Configuration:
    """The configuration as it is run where clients can reach hostler."""
    given = read.configuration
    servers = {
        name: _with_log(spec, may_add=in_background and not _is_named(read.servers.get(name)))
        for name, spec in given.servers.items()
    }
    templates = {name: partial(_made_with_log, make, in_background) for name, make in given.templates.items()}
    return replace(given, servers=servers, templates=templates)


def is_indexed(plugin: PluginSpec) -> bool:
    """Whether a plugin is log-rotation, and keeps its index unless its options say otherwise."""
    return plugin.name == LOG and plugin.use is None and INDEX not in plugin.options


def gets_log(server: ResolvedServer) -> bool:
    """Whether a server has a log in the background alone."""
    return not _is_named(server) and _lacks_log(server.spec)


def _made_with_log(
    make: Callable[..., ServerSpec], may_add: bool, *given: str, **named: object
) -> ServerSpec:
    return _with_log(make(*given, **named), may_add=may_add)


def _with_log(spec: ServerSpec, *, may_add: bool) -> ServerSpec:
    plugins = tuple(_indexed(plugin) for plugin in spec.plugins)
    if may_add and _lacks_log(spec):
        plugins = (*plugins, PluginSpec(LOG, {INDEX: True}))
    return spec if plugins == spec.plugins else replace_unchecked(spec, plugins=plugins)


def _indexed(plugin: PluginSpec) -> PluginSpec:
    return (
        replace_unchecked(plugin, options={**plugin.options, INDEX: True}) if is_indexed(plugin) else plugin
    )


def _lacks_log(spec: ServerSpec) -> bool:
    writes = any(callable(getattr(find_class(plugin), "log_file", None)) for plugin in spec.plugins)
    return OutputMode.CAPTURE in {spec.stdout, spec.stderr} and not writes


def _is_named(server: ResolvedServer | None) -> bool:
    """Whether the plugin stands in the table of the server, were it switched off there."""
    plugins = None if server is None else server.node.table.get("plugins")
    return plugins is not None and LOG in plugins.table
