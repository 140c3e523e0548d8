"""What the tables of a configuration are read in, which is the same for all of them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from msgspec import Struct, field

from hostler.errors import PluginError
from hostler.model.spec import PluginSpec


class PluginClasses:
    """The classes of plugins, each looked for once while one configuration is read."""

    def __init__(self) -> None:
        self._found: dict[tuple[object, ...], type] = {}

    def find(self, spec: PluginSpec) -> type:
        """As `find_class`."""
        key = (type(spec), spec.name, spec.use, spec.base)
        if key not in self._found:
            from hostler.plugins.discovery import find_class  # noqa: PLC0415 - only servers with plugins need it

            self._found[key] = find_class(spec)
        return self._found[key]

    def known(self, spec: PluginSpec) -> type | None:
        """The class, None where there is none: that is reported at the plugin's own line."""
        try:
            return self.find(spec)
        except PluginError:
            return None


class ResolveContext(Struct, frozen=True):
    """The environment, where a server works when it has no `cwd`, and the classes of the plugins."""

    environ: Mapping[str, str]
    folder: Path
    classes: PluginClasses = field(default_factory=PluginClasses)
