"""From a spec to a Launch: port, argv, environment, as pre_spawn will find them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import field
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from hostler.errors import InvalidConfiguration
from hostler.launching.initial_environment import set_variables
from hostler.launching.resolved_inputs import ResolvedInputs
from hostler.model.dataclass import dataclass
from hostler.model.interpolation import InterpolationError, Reference, expand
from hostler.model.launch import Launch
from hostler.model.spec import ServerSpec, environ_of
from hostler.model.values import Endpoint

if TYPE_CHECKING:  # it imports asyncio, which a look at a configuration does without
    from hostler.process.context import SupervisorContext


def choose_port(spec: ServerSpec, context: SupervisorContext, last: int | None) -> int | None:
    """The port to ask the server for: the configured one, or a free one (the last one where it is free).

    Raises PortInUse when a configured port is taken.
    """
    if spec.port is None:
        return None
    if spec.port:
        context.processes.check_port_free(spec.host, spec.port)
        return spec.port
    return context.processes.free_port(spec.host, preferred=last, avoid=context.claims.ports() - {last})


def interpolator(
    spec: ServerSpec, port: int | None, others: Mapping[str, Endpoint | None] = MappingProxyType({})
) -> Callable[[str], str]:
    """A function that fills `${server.name}`, `.host`, `.port` and `.url` (as asked for) into a string.

    `others` tells where the needed servers listen: `${servers.NAME.port}`, `.host` and `.url`.
    """
    known = {
        "server.name": spec.name,
        "server.host": spec.host,
        "server.port": None if port is None else str(port),
        "server.url": None if port is None else Endpoint(spec.host, port, spec.scheme).url,
    }

    def value(name: str) -> str | None:
        reference = Reference.parse(name)
        return known.get(name) if reference is None else reference.value(others)

    def fill(text: str) -> str:
        try:
            return expand(text, value)
        except InterpolationError as error:
            names = ", ".join(f"${{{name}}}" for name in (*known, "servers.NAME.port"))
            raise InvalidConfiguration(
                f"when the server is started, {error}",
                server=spec.name,
                hint=f"use {names}, or $$ for a plain $",
            ) from error

    return fill


@dataclass(frozen=True, slots=True)
class Given:
    """What a launch is made of beside its spec, as it is at this start.

    `port` is what to ask the server for. `needed` holds what each needed server publishes, `others`
    where it listens, both by its name. `readings` is what the configuration points at.
    """

    port: int | None = None
    needed: Mapping[str, Mapping[str, str]] = field(default_factory=dict, repr=False)
    others: Mapping[str, Endpoint | None] = field(default_factory=dict)
    readings: ResolvedInputs = field(default_factory=ResolvedInputs)


class _Secrets(dict[str, str]):
    """The secrets of a launch by name: what fails right after one was set must not tell it."""

    def __init__(self, learn: Callable[[str], None]) -> None:
        super().__init__()
        self._learn = learn

    def __setitem__(self, name: str, value: str) -> None:
        # Learned before it is set: a plugin that fails between the two would be quoted in clear.
        self._learn(value)
        super().__setitem__(name, value)


def launch_of(spec: ServerSpec, fill: Callable[[str], str], **known: Any) -> Launch:
    """What a spec alone says of a launch; `known` are the fields of a Launch that only the caller knows."""
    return Launch(
        server=spec.name,
        argv=[fill(word) for word in spec.command],
        cwd=spec.cwd,
        env={},
        host=spec.host,
        stdin=spec.stdin,
        stdout=spec.stdout,
        stderr=spec.stderr,
        user=spec.user,
        group=spec.group,
        no_new_privileges=spec.no_new_privileges,
        **known,
    )


def _surroundings(spec: ServerSpec, context: SupervisorContext) -> dict[str, Any]:
    """The fields that are the same for all servers of a supervisor, but for the `environ` of each."""
    return {
        "host_env": environ_of(spec, context.host_env),
        "live_env": environ_of(spec, context.live_env),
        "data_dir": context.folders.secure(context.data_dir),
        "cache_dir": context.folders.secure(context.directories.cache),
        "inputs": context.inputs(),
        "inputs_of_starts": context.inputs_of_starts(),
        "outputs": context.claims.outputs(),
    }


def build_launch(
    spec: ServerSpec,
    context: SupervisorContext,
    *,
    generation: int,
    given: Given,
    learn: Callable[[str], None],
    warn: Callable[[str], None],
    temporary: list[Path],
) -> Launch:
    """A fresh Launch: argv and env filled in, on top of the safe base and what needed servers publish.

    `learn` hears of each secret as soon as it is set, `warn` of files that others can get at.
    """
    fill = interpolator(spec, given.port, given.others)
    own = {"generation": generation, "port": given.port, "secrets": _Secrets(learn), "warn": warn}
    launch = launch_of(spec, fill, temporary=temporary, **own, **_surroundings(spec, context))
    set_variables(launch, spec, fill, needed=given.needed, readings=given.readings)

    for text in given.readings.warnings:
        warn(text)

    return launch
