"""What would fail or surprise on this machine, found without starting anything."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from pathlib import Path

from msgspec import Struct
from msgspec.structs import replace

from hostler.config.preflight.external_checks import (
    certificate_problems,
    external_value_problems,
    listener_secret_problems,
)
from hostler.config.preflight.machine_checks import (
    account_problems,
    fixed_port_problems,
    process_problems,
    program_problems,
)
from hostler.config.preflight.observation import Observation, failure
from hostler.config.preflight.plugin_checks import (
    comes_first,
    other_port_warnings,
    own_check_problems,
    uncalled_hook_warnings,
)
from hostler.errors import EnvironmentSetupFailed, InvalidConfiguration
from hostler.launching.build import interpolator, launch_of
from hostler.launching.initial_environment import set_variables
from hostler.launching.resolved_inputs import ResolvedInputs, resolve_inputs
from hostler.launching.spec_secrets import credentials_in_clear, secrets_of_spec
from hostler.model.launch import Launch
from hostler.model.spec import Configuration, ServerSpec
from hostler.plugins.options import build
from hostler.process.disk.directories import Directories, why_not_writable
from hostler.process.disk.namespace import resolve_namespace
from hostler.process.spawn.environment import refuse_leaks, secrets_of
from hostler.secrets.masking import Masker
from hostler.text.shell_syntax import surprising_syntax


class Inspector(Struct, frozen=True):
    """Checks every server of a configuration against this machine, as its start would."""

    configuration: Configuration
    directories: Directories
    environ: Mapping[str, str]

    def observations(self) -> Iterator[Observation]:
        """Everything that was found, server by server; what is secret of a server is masked."""
        yield from process_problems()
        yield from self._folders()
        yield from _alike(self.configuration.servers)
        for spec in self.configuration.servers.values():
            launch = self._launch(spec)
            # A message may quote a command line or an address with a password in it.
            masker = Masker([*secrets_of_spec(spec), *secrets_of(launch)])
            seen = self._server(spec, launch)
            yield from (replace(one, message=masker.text(one.message)) for one in seen)
        for listener in self.configuration.listeners.values():
            yield from () if listener.unset else listener_secret_problems(listener, self.environ)
        yield from certificate_problems(self.configuration.control)

    def log_files(self) -> Iterator[tuple[str, Path]]:
        """Each server whose plugin writes its output to a file, and that file."""
        for spec in self.configuration.servers.values():
            for plugin in spec.plugins:
                log_file = getattr(build(plugin), "log_file", None)
                if callable(log_file):
                    yield spec.name, log_file(spec, self._launch(spec))

    def _folders(self) -> Iterator[Observation]:
        for what, folder in (("logs", self._data_dir()), ("run records and locks", self.directories.state)):
            reason = why_not_writable(folder)
            if reason:
                yield Observation("", f"{what} cannot be written to {folder}: {reason}")

    def _data_dir(self) -> Path:
        namespace, ours = self.configuration.namespace, self.directories
        return ours.data if namespace is None else ours.data_for(resolve_namespace(ours, namespace))

    def _server(self, spec: ServerSpec, launch: Launch) -> Iterator[Observation]:
        key = f"servers.{spec.name}"
        plugins = {plugin.name: build(plugin) for plugin in spec.plugins}

        yield from failure(f"{key}.command", lambda: refuse_leaks(launch))
        yield from self._text_warnings(spec, key)
        yield from account_problems(spec, key)
        yield from external_value_problems(spec, self.environ, key)

        if spec.port:
            yield from fixed_port_problems(spec, f"{key}.port")
        yield from other_port_warnings(spec, plugins.values(), f"{key}.command")

        # In the order of the hooks: a plugin's check sees the launch as the ones before it leave it.
        for name, plugin in sorted(plugins.items(), key=lambda named: not comes_first(named[1])):
            yield from uncalled_hook_warnings(spec, plugin, f"{key}.plugins.{name}")
            yield from own_check_problems(plugin, spec, launch, f"{key}.plugins.{name}")

        if launch.argv and not any(getattr(one, "supplies_command", False) for one in plugins.values()):
            yield from program_problems(launch, key)

    def _launch(self, spec: ServerSpec) -> Launch:
        """What a start would begin with; what is known only then stays as it is written."""
        fill = partial(_filled, interpolator(spec, spec.port or None))
        launch = launch_of(
            spec,
            fill,
            generation=0,
            port=spec.port,
            data_dir=self._data_dir(),
            cache_dir=self.directories.cache,
            host_env=self.environ,
        )
        set_variables(launch, spec, fill, needed={}, readings=_readings(spec, self.environ))
        return launch

    def _text_warnings(self, spec: ServerSpec, key: str) -> Iterator[Observation]:
        """Credentials that stand in the configuration themselves, and dollars that no shell sees."""
        servers = self.configuration.document.get("servers")
        table = servers.get(spec.name) if isinstance(servers, dict) else None
        commands = {"command": spec.command} if table is None else table
        for name in ("command", "plugins"):
            for place, message in surprising_syntax(f"{key}.{name}", commands.get(name)):
                yield Observation(place, message, "warning")
        for below, message in credentials_in_clear(spec, table):
            yield Observation(f"{key}.{below}", message, "warning")


def _alike(names: Iterable[str]) -> Iterator[Observation]:
    """Warn of names that differ by upper and lower case alone."""
    first: dict[str, str] = {}
    for name in names:
        other = first.setdefault(name.lower(), name)
        if other != name:
            message = f"differs from {other} by upper and lower case alone: two servers; rename one of them"
            yield Observation(f"servers.{name}", message, "warning")


def _readings(spec: ServerSpec, environ: Mapping[str, str]) -> ResolvedInputs:
    """What a start would read; nothing where that fails, which is reported on its own."""
    try:
        return resolve_inputs(spec, environ)
    except EnvironmentSetupFailed:
        return ResolvedInputs()


def _filled(fill: Callable[[str], str], text: str) -> str:
    try:
        return fill(text)
    except InvalidConfiguration:
        return text
