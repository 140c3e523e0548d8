"""Which servers there are, and which comes after which."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from hostler.errors import InvalidConfiguration
from hostler.model.choices import Kind, RestartMode
from hostler.model.dependencies import Condition
from hostler.model.schema.diagnostics import without_echoes
from hostler.model.spec import ServerSpec


def in_order(specs: Mapping[str, ServerSpec]) -> list[str]:
    """The names so that each comes after those it needs; InvalidConfiguration where that cannot be."""
    order: list[str] = []
    path: list[str] = []

    def visit(name: str) -> None:
        if name in path:
            circle = [*path[path.index(name) :], name]
            raise InvalidConfiguration(f"servers need each other: {' -> '.join(circle)}")

        if name not in specs:
            raise InvalidConfiguration(f"servers.{path[-1]}.needs: there is no server {name!r}")

        if name not in order:
            path.append(name)

            for need in specs[name].needed:
                visit(need.server)

            path.pop()
            order.append(name)

    for name in specs:
        visit(name)

    for spec in specs.values():
        _check_kind(spec, specs)

    return order


def started(specs: Mapping[str, ServerSpec], names: Iterable[str] = ()) -> list[str]:
    """The names of these (by default all with `autostart`), and of what they need."""
    wanted = list(names) or [name for name, spec in specs.items() if spec.autostart]

    for name in wanted:  # it grows on the way
        wanted += [need.server for need in specs[name].needed if need.server not in wanted]

    return wanted


def refuse_unset(specs: Mapping[str, ServerSpec], names: Iterable[str] = ()) -> None:
    """Return when these (by default all with `autostart`) and what they need have all their variables.

    Raises InvalidConfiguration with every place that refers to one which is not set.
    """
    wanted = started(specs, names)
    problems = [problem for name in specs if name in wanted for problem in specs[name].unset]

    if problems:
        raise InvalidConfiguration(without_echoes(problems))


def _check_kind(spec: ServerSpec, specs: Mapping[str, ServerSpec]) -> None:
    """Only a task completes; it has no port, and no restart when it is done."""
    key = f"servers.{spec.name}"

    for need in spec.needed:
        if need.condition is Condition.COMPLETED and specs[need.server].kind is not Kind.TASK:
            raise InvalidConfiguration(f"{key}.needs: {need.server!r} never completes, it is no task")

    if spec.kind is Kind.TASK and spec.port is not None:
        raise InvalidConfiguration(f"{key}.port: a task has no port: it runs to completion")

    if spec.kind is Kind.TASK and spec.restart.policy is RestartMode.ALWAYS:
        raise InvalidConfiguration(f"{key}.restart.policy: a task ends when it is done, it is no server")
