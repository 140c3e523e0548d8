"""What would fail or surprise on this machine, found without starting anything."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import is_dataclass
from functools import partial
from pathlib import Path
from typing import Literal, TypeAlias

from msgspec import Struct
from msgspec.structs import replace

from hostler.errors import EnvironmentSetupFailed, InvalidConfiguration, ServerError
from hostler.launching.build import interpolator, launch_of
from hostler.launching.env_file import read_env_file, references_in
from hostler.launching.initial_environment import set_variables
from hostler.launching.resolved_inputs import ResolvedInputs, resolve_inputs
from hostler.launching.server_user import account_of
from hostler.launching.spec_secrets import credentials_in_clear, secrets_of_spec
from hostler.model.choices import OutputMode
from hostler.model.launch import Launch
from hostler.model.secret import Secret
from hostler.model.spec import Configuration, ControlSpec, PluginSpec, ServerSpec
from hostler.plugins.options import build, option_fields
from hostler.plugins.signatures import marked_hooks
from hostler.process.disk.directories import Directories, why_not_writable
from hostler.process.disk.namespace import resolve_namespace
from hostler.process.spawn.environment import refuse_leaks, secrets_of
from hostler.process.spawn.executable import check_directory, find_program
from hostler.process.tree.procfs import check_proc, doubt
from hostler.secrets.masking import Masker
from hostler.text.port_arguments import named_ports
from hostler.text.shell_syntax import surprising_syntax

Severity: TypeAlias = Literal["mistake", "warning"]


class Observation(Struct, frozen=True):
    """One thing that was seen: a mistake would fail the start, a warning would surprise.

    `key` is the dotted key of what it is about, `message` says what to do.
    """

    key: str
    message: str
    severity: Severity = "mistake"


class Inspector(Struct, frozen=True):
    """Checks every server of a configuration against this machine, as its start would."""

    configuration: Configuration
    directories: Directories
    environ: Mapping[str, str]

    def observations(self) -> Iterator[Observation]:
        """Everything that was found, server by server; what is secret of a server is masked."""
        yield from _processes()
        yield from self._folders()
        yield from _alike(self.configuration.servers)
        for spec in self.configuration.servers.values():
            launch = self._launch(spec)
            # A message may quote a command line or an address with a password in it.
            masker = Masker([*secrets_of_spec(spec), *secrets_of(launch)])
            seen = self._server(spec, launch)
            yield from (replace(one, message=masker.text(one.message)) for one in seen)
        for listener in self.configuration.listeners.values():
            yield from () if listener.unset else _secrets_of_options(listener, self.environ)
        yield from _certificate(self.configuration.control)

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

        yield from _failure(f"{key}.command", lambda: refuse_leaks(launch))
        yield from self._text_warnings(spec, key)
        yield from _account(spec, key)
        yield from _external_values(spec, self.environ, key)

        if spec.port:
            yield from _port(spec, f"{key}.port")
        yield from _other_port(spec, plugins.values(), f"{key}.command")

        # In the order of the hooks: a plugin's check sees the launch as the ones before it leave it.
        for name, plugin in sorted(plugins.items(), key=lambda named: not _comes_first(named[1])):
            yield from _uncalled(spec, plugin, f"{key}.plugins.{name}")
            yield from _plugin_check(plugin, spec, launch, f"{key}.plugins.{name}")

        if launch.argv and not any(getattr(one, "supplies_command", False) for one in plugins.values()):
            yield from _program(launch, key)

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


def _failure(
    key: str, attempt: Callable[[], object], severity: Severity = "mistake"
) -> Iterator[Observation]:
    """What a start would fail with there; nothing where it works."""
    try:
        attempt()
    except ServerError as error:
        yield Observation(key, _sentence(error), severity)


def _sentence(error: ServerError) -> str:
    """What happened, and what to do, in one line where it is one."""
    return f"{error.message}; {error.context.hint}".removesuffix("; ")


def _processes() -> Iterator[Observation]:
    """Whether what is started could be found and ended here."""
    for one in _failure("", check_proc):
        yield replace(one, message=f"nothing can be started: {one.message}")
        return
    if sys.platform == "linux" and (text := doubt()):
        yield Observation("", text, "warning")


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


def _program(launch: Launch, key: str) -> Iterator[Observation]:
    # In a folder that is missing no program is found either: one mistake, reported once.
    folder = [*_failure(f"{key}.cwd", lambda: check_directory(launch.cwd))]
    yield from folder
    try:
        account = account_of(launch)
    except EnvironmentSetupFailed:
        return  # there is no such user: reported on its own
    find = partial(find_program, launch.argv[0], cwd=launch.cwd, env=launch.env, account=account)
    yield from () if folder else _failure(f"{key}.command", find)


def _port(spec: ServerSpec, key: str) -> Iterator[Observation]:
    from hostler.process.net.ports import check_port_free, needs_only_time  # noqa: PLC0415 - only a fixed port is looked at

    assert spec.port
    try:
        if not needs_only_time(spec.host, spec.port, reuse=True):
            check_port_free(spec.host, spec.port)
    except ServerError as error:
        yield Observation(key, error.message, "warning")  # it may be this very server, that runs


def _other_port(spec: ServerSpec, plugins: Iterable[object], key: str) -> Iterator[Observation]:
    """Warn of a port in the command of a server that is looked for at a free one."""
    given = (*spec.command, *map(str, spec.env.values()))
    is_told = any("${server.port}" in text or "${server.url}" in text for text in given)
    if spec.port != 0 or spec.port_from_socket or is_told or any(_finds_port(one) for one in plugins):
        return

    for port, written in list(named_ports(spec.command))[:1]:
        message = (
            f'"{written}": it is looked for at a free port; write port = {port}, or ${{server.port}} here'
        )
        yield Observation(key, message, "warning")


def _finds_port(plugin: object) -> bool:
    """Whether it may find the port in the output, or make the command."""
    hooks = {marked.hook for marked in marked_hooks(type(plugin))}
    return "parse_port" in hooks or bool(getattr(plugin, "supplies_command", False))


def _account(spec: ServerSpec, key: str) -> Iterator[Observation]:
    if spec.user is None and spec.group is None:
        return
    from hostler.process.spawn.privileges import find_account  # noqa: PLC0415 - few servers have another user

    which = "group" if spec.user is None else "user"
    yield from _failure(f"{key}.{which}", lambda: find_account(spec.user, spec.group))


def _external_values(spec: ServerSpec, environ: Mapping[str, str], key: str) -> Iterator[Observation]:
    """Read the secrets and files of variables, as a start would."""
    severity: Severity = "warning" if spec.needs else "mistake"  # a task that it needs may write them
    exposed: list[str] = []

    for file in spec.env_file:
        yield from _failure(f"{key}.env_file", partial(read_env_file, file, warn=exposed.append), severity)
        for message in references_in(file):
            yield Observation(f"{key}.env_file", message, "warning")

    for name, value in spec.env.items():
        if isinstance(value, Secret):
            read = partial(value.read, environ, warn=exposed.append)
            yield from _failure(f"{key}.env.{name}", read, severity)

    for text in dict.fromkeys(exposed):
        yield Observation(key, text, "warning")


def _secrets_of_options(spec: PluginSpec, environ: Mapping[str, str]) -> Iterator[Observation]:
    """Read the secrets among the options of a listener, as it would."""
    listener, exposed = build(spec), list[str]()
    for name in option_fields(type(listener)):
        value = getattr(listener, name)
        for one in value.values() if isinstance(value, Mapping) else [value]:
            if isinstance(one, Secret):
                read = partial(one.read, environ, warn=exposed.append)
                yield from _failure(f"listeners.{spec.name}.{name}", read)
    yield from (Observation(f"listeners.{spec.name}", text, "warning") for text in dict.fromkeys(exposed))


def _certificate(control: ControlSpec) -> Iterator[Observation]:
    """Read the certificate and the key with which the control API would be offered over TCP."""
    if control.certificate_file is None or control.key_file is None:
        return
    import ssl  # noqa: PLC0415 - few have one

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    for name, file in (("certificate_file", control.certificate_file), ("key_file", control.key_file)):
        try:
            with file.open("rb"):
                pass
        except OSError as error:
            yield Observation(f"control.{name}", f"{file} cannot be read: {error.strerror}")
            return
    try:
        # Without a password OpenSSL would ask for that of the key at the terminal.
        context.load_cert_chain(control.certificate_file, control.key_file, password=lambda: b"")
    except OSError as error:
        reason = getattr(error, "reason", None) or error
        yield Observation("control.key_file", f"TLS cannot use it with that certificate: {reason}")


def _comes_first(plugin: object) -> bool:
    """Whether a start asks this plugin before the others, who find the launch as it leaves it."""
    return any(
        marked.hook == "pre_spawn" and marked.options.get("tryfirst") for marked in marked_hooks(type(plugin))
    )


def _uncalled(spec: ServerSpec, plugin: object, key: str) -> Iterator[Observation]:
    """Warn of a hook that would never be called."""
    reason = ""
    if spec.port is None:
        reason = "the server has no port (port = false)"
    elif OutputMode.CAPTURE not in {spec.stdout, spec.stderr}:
        reason = 'neither stdout nor stderr is captured ("capture")'

    if reason and any(marked.hook == "parse_port" for marked in marked_hooks(type(plugin))):
        yield Observation(key, f"its hook parse_port is never called: {reason}", "warning")


def _plugin_check(plugin: object, spec: ServerSpec, launch: Launch, key: str) -> Iterator[Observation]:
    """What the plugin itself says, where it has a method `check`."""
    check = getattr(plugin, "check", None)
    if not callable(check):
        return

    try:
        for message in check(spec, launch):
            name, _, rest = str(message).partition(": ")
            named = rest and is_dataclass(plugin) and name in option_fields(type(plugin))
            yield Observation(f"{key}.{name}", rest) if named else Observation(key, str(message))
    except ServerError as error:
        yield Observation(key, _sentence(error))
    except Exception as error:  # noqa: BLE001 - a plugin's fault is reported, the rest is checked
        yield Observation(key, f"its check failed: {type(error).__name__}: {error}", "warning")
