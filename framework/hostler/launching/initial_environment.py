"""The variables that a launch begins with, before any plugin edits it."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from hostler.launching.resolved_inputs import ResolvedInputs
from hostler.model.launch import Launch
from hostler.model.spec import ServerSpec
from hostler.process.spawn.environment import safe_base
from hostler.secrets.credentials import is_secret_name

OF_HOSTLER = "hostler's own environment"
OF_ENV = "env"


def set_variables(
    launch: Launch,
    spec: ServerSpec,
    fill: Callable[[str], str],
    *,
    needed: Mapping[str, Mapping[str, str]],
    readings: ResolvedInputs,
) -> None:
    """Set what every child gets, then what needed servers publish, then `env_file`, then `env`.

    What comes later wins. `launch.origins` tells who set each. What the configuration sets itself, in `env`
    or an env_file, is allowed: it is there on purpose. What has a secret name is masked, of that and of
    what is published.
    """
    plain = {name: fill(value) for name, value in spec.env.items() if isinstance(value, str)}
    _lay(launch, OF_HOSTLER, safe_base(launch.host_env))

    for server, published in needed.items():
        _lay(launch, f"needed server {server}", published)

    for path, values in readings.files.items():
        _lay(launch, f"env_file {path}", values)

    _lay(launch, OF_ENV, plain)
    _lay(launch, OF_ENV, readings.secrets)
    configured = launch.configured
    launch.allowed.update(configured)

    for name in dict.fromkeys([*configured, *(name for each in needed.values() for name in each)]):
        if name in readings.secrets or is_secret_name(name):
            launch.set_secret(name, launch.env[name])


def _lay(launch: Launch, origin: str, values: Mapping[str, str]) -> None:
    launch.env.update(values)
    launch.origins.update(dict.fromkeys(values, origin))
