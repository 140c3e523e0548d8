"""Secrets and files that a configuration names: whether a start could read them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial

from hostler.config.preflight.observation import Observation, Severity, failure
from hostler.launching.env_file import read_env_file, references_in
from hostler.model.secret import Secret
from hostler.model.spec import ControlSpec, PluginSpec, ServerSpec
from hostler.plugins.options import build, option_fields


def external_value_problems(spec: ServerSpec, environ: Mapping[str, str], key: str) -> Iterator[Observation]:
    """Read the secrets and files of variables, as a start would."""
    severity: Severity = "warning" if spec.needs else "mistake"  # a task that it needs may write them
    exposed: list[str] = []

    for file in spec.env_file:
        yield from failure(f"{key}.env_file", partial(read_env_file, file, warn=exposed.append), severity)
        for message in references_in(file):
            yield Observation(f"{key}.env_file", message, "warning")

    for name, value in spec.env.items():
        if isinstance(value, Secret):
            read = partial(value.read, environ, warn=exposed.append)
            yield from failure(f"{key}.env.{name}", read, severity)

    for text in dict.fromkeys(exposed):
        yield Observation(key, text, "warning")


def listener_secret_problems(spec: PluginSpec, environ: Mapping[str, str]) -> Iterator[Observation]:
    """Read the secrets among the options of a listener, as it would."""
    listener, exposed = build(spec), list[str]()
    for name in option_fields(type(listener)):
        value = getattr(listener, name)
        for one in value.values() if isinstance(value, Mapping) else [value]:
            if isinstance(one, Secret):
                read = partial(one.read, environ, warn=exposed.append)
                yield from failure(f"listeners.{spec.name}.{name}", read)
    yield from (Observation(f"listeners.{spec.name}", text, "warning") for text in dict.fromkeys(exposed))


def certificate_problems(control: ControlSpec) -> Iterator[Observation]:
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
