"""From a spec to a Launch: port, argv, environment, as pre_spawn will find them."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from hostler.environment import safe_base
from hostler.errors import InvalidConfiguration
from hostler.interpolate import InterpolationError, expand
from hostler.model import Endpoint, Launch, ServerSpec
from hostler.process.directories import secure_directory
from hostler.surroundings import Surroundings


def choose_port(spec: ServerSpec, around: Surroundings, last: int | None) -> int | None:
    """The port to ask the server for: the configured one, or a free one (the last one where it is free).

    Raises PortInUse when a configured port is taken.
    """
    if spec.port is None:
        return None

    if spec.port:
        around.processes.check_port_free(spec.host, spec.port)
        return spec.port

    return around.processes.free_port(spec.host, preferred=last, avoid=around.ports_in_use() - {last})


def filling(spec: ServerSpec, port: int | None) -> Callable[[str], str]:
    """A function that fills `${server.name}`, `.host`, `.port` and `.url` (as asked for) into a string."""
    known = {
        "server.name": spec.name,
        "server.host": spec.host,
        "server.port": None if port is None else str(port),
        "server.url": None if port is None else Endpoint(spec.host, port, spec.scheme).url,
    }

    def fill(text: str) -> str:
        try:
            return expand(text, known.get)
        except InterpolationError as error:
            names = ", ".join(f"${{{name}}}" for name in known)
            raise InvalidConfiguration(
                f"when the server is started, {error}",
                server=spec.name,
                hint=f"use {names}, or $$ for a plain $",
            ) from error

    return fill


class _Secrets(dict[str, str]):
    """The secrets of a launch by name: what fails right after one was set must not tell it."""

    def __init__(self, learn: Callable[[str], None]) -> None:
        super().__init__()
        self._learn = learn

    def __setitem__(self, name: str, value: str) -> None:
        self._learn(value)
        super().__setitem__(name, value)


def build_launch(
    spec: ServerSpec,
    around: Surroundings,
    *,
    generation: int,
    port: int | None,
    needed: Mapping[str, str],
    learn: Callable[[str], None],
) -> Launch:
    """A fresh Launch: argv and env filled in, on top of the safe base and what needed servers publish.

    `learn` hears of each secret as soon as it is set.
    """
    fill = filling(spec, port)

    return Launch(
        server=spec.name,
        generation=generation,
        argv=[fill(word) for word in spec.command],
        cwd=spec.cwd,
        env=safe_base(around.host_env)
        | dict(needed)
        | {name: fill(value) for name, value in spec.env.items()},
        host=spec.host,
        port=port,
        data_dir=secure_directory(around.data_dir),
        cache_dir=secure_directory(around.directories.cache),
        host_env=around.host_env,
        stdout=spec.stdout,
        stderr=spec.stderr,
        user=spec.user,
        group=spec.group,
        no_new_privileges=spec.no_new_privileges,
        secrets=_Secrets(learn),
    )
