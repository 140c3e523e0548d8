"""What a program made is refused in the words of TOML, all of it at once, before anything is started."""

from __future__ import annotations

import pytest
from hostler import InvalidConfiguration, Kind, Need, RestartPolicy, ServerSpec
from hostler.model.dependencies import Condition
from hostler.model.graph import in_order


def spec(name: str, **fields: object) -> ServerSpec:
    return ServerSpec(**({"name": name, "command": ("true",)} | fields))  # type: ignore[arg-type]


def problems(*specs: ServerSpec) -> list[str]:
    with pytest.raises(InvalidConfiguration) as caught:
        in_order({one.name: one for one in specs})
    return [str(problem) for problem in caught.value.problems]


def test_each_comes_after_those_it_needs_and_else_in_the_order_of_the_configuration() -> None:
    specs = [spec("a", needs=("c", "b")), spec("b", needs=("d",)), spec("c"), spec("d"), spec("e")]
    assert in_order({one.name: one for one in specs}) == ["c", "d", "b", "a", "e"]


def test_a_need_of_nobody_names_who_was_probably_meant() -> None:
    assert problems(spec("web", needs=("dbb",)), spec("db")) == [
        'servers.web.needs[0]: there is no server "dbb"; did you mean "db"?'
    ]


def test_only_a_task_completes() -> None:
    need = Need("db", Condition.COMPLETED)

    assert problems(spec("web", needs=("cache", need)), spec("cache"), spec("db")) == [
        (
            'servers.web.needs[1]: "db" never completes, it is no task (kind = "task"); '
            'allowed: "started", "ready"'
        )
    ]


def test_a_task_has_no_port_and_ends_when_it_is_done() -> None:
    restart = RestartPolicy("always")  # type: ignore[arg-type]

    assert problems(spec("job", kind=Kind.TASK, port=80, restart=restart)) == [
        "servers.job.port: a task has no port: it runs to completion; leave it out, found 80",
        'servers.job.restart.policy: a task ends when it is done; allowed: "on-failure", "never"',
    ]


def test_every_circle_and_every_other_mistake_is_told_at_once() -> None:
    specs = [
        *(spec(name, needs=(need,)) for name, need in ("ab", "ba", "cd", "dc")),
        spec("self", needs=("self",)),
        spec("last", needs=("nobody",)),
    ]

    assert problems(*specs) == [
        "servers.self.needs[0]: a server cannot need itself",
        'servers.last.needs[0]: there is no server "nobody"; allowed: a, b, c, d, self',
        "servers.a.needs[0]: servers need each other in a cycle: a -> b -> a",
        "servers.c.needs[0]: servers need each other in a cycle: c -> d -> c",
    ]
