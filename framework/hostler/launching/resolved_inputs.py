"""What a configuration only points at, read for one start: secrets and files of variables."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import field
from pathlib import Path
from types import MappingProxyType

from hostler.errors import EnvironmentSetupFailed
from hostler.launching.env_file import read_env_file
from hostler.model.dataclass import dataclass
from hostler.model.secret import Secret
from hostler.model.spec import PluginSpec, ServerSpec


@dataclass(frozen=True, slots=True)
class ResolvedInputs:
    """Variables of a server as they are now.

    `files` holds those of each env_file, in order; `secrets` those of `env` that are secrets.
    `warnings` are sentences about files that others can get at.
    """

    files: Mapping[Path, Mapping[str, str]] = field(default_factory=dict, repr=False)
    secrets: Mapping[str, str] = field(default_factory=dict, repr=False)
    warnings: tuple[str, ...] = ()


def points_elsewhere(spec: ServerSpec) -> bool:
    """Whether there is anything to read."""
    return bool(spec.env_file) or any(isinstance(value, Secret) for value in spec.env.values())


def inputs_of(spec: ServerSpec) -> Iterator[Path]:
    """The files that are read at each start of a server: its variables, its secrets, its plugins."""
    yield from (file.path for file in spec.env_file)
    yield from _secret_files(spec.env)
    for plugin in spec.plugins:
        yield from inputs_of_plugin(plugin)


def inputs_of_plugin(plugin: PluginSpec) -> Iterator[Path]:
    """The files that a plugin is made of: its secrets, and its class."""
    files = [*_secret_files(plugin.options)]
    place = (plugin.use or "").rpartition(":")[0]
    if place.endswith(".py") or "/" in place:
        files.append(Path(place).expanduser())
    if files:
        base = plugin.base or Path.cwd()
        yield from (base / file for file in files)


class StartInputs:
    """The files that are read at each start of some servers, whose specs stay as they are."""

    def __init__(self, specs: Iterable[ServerSpec] = ()) -> None:
        self._specs = tuple(specs)
        # Each start of each server asks: for 50 servers that crash all the time it would be most of the work.
        self._needed: Mapping[Path, bool] | None = None
        plugins = [plugin for spec in self._specs for plugin in spec.plugins if plugin.base is None]
        self._moves = any(any(inputs_of_plugin(plugin)) for plugin in plugins)
        self._seen_from = ""

    def needed(self) -> Mapping[Path, bool]:
        """The files, and whether they have to be there."""
        place = os.getcwd() if self._moves else ""  # noqa: PTH109 - every restart waits for this
        if self._needed is None or place != self._seen_from:
            self._needed, self._seen_from = MappingProxyType(self._found()), place
        return self._needed

    def _found(self) -> dict[Path, bool]:
        needed = {path: True for spec in self._specs for path in inputs_of(spec)}
        optional = {file.path: False for spec in self._specs for file in spec.env_file if file.optional}
        return needed | optional


def _secret_files(value: object) -> Iterator[Path]:
    match value:
        case Secret(path=Path() as path):
            yield path
        case {"secret": str(source)} if source.startswith("file:"):
            yield Path(source.removeprefix("file:")).expanduser()
        case Mapping():
            for item in value.values():
                yield from _secret_files(item)
        case list() | tuple():
            for item in value:
                yield from _secret_files(item)


def resolve_inputs(spec: ServerSpec, environ: Mapping[str, str]) -> ResolvedInputs:
    """Read all of it. `environ` is where variables are looked up.

    Raises EnvironmentSetupFailed, which names the server and the variable, for the first that cannot
    be had; errors and their permanence are those of Secret.read and read_env_file.
    """
    warnings: list[str] = []
    try:
        files = {file.path: read_env_file(file, warn=warnings.append) for file in spec.env_file}
    except EnvironmentSetupFailed as error:
        raise error.with_context(server=spec.name) from None

    secrets = {
        name: _secret(spec.name, name, value, environ, warnings)
        for name, value in spec.env.items()
        if isinstance(value, Secret)
    }
    return ResolvedInputs(files, secrets, tuple(dict.fromkeys(warnings)))


def _secret(server: str, name: str, secret: Secret, environ: Mapping[str, str], warnings: list[str]) -> str:
    try:
        return secret.read(environ, warn=warnings.append)
    except EnvironmentSetupFailed as error:
        raise EnvironmentSetupFailed(
            f"its variable {name}: {error.message}",
            server=server,
            hint=f"see to {secret.secret}, or take {name} out of env",
            details={**error.context.details, "variable": name},
            permanent=error.permanent,
        ) from None
