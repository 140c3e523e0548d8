"""`needs`, `kind`, `essential` and `task_timeout` in TOML: read, refused, written back."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from hostler import (
    Condition,
    Configuration,
    InvalidConfiguration,
    Kind,
    Need,
    OnRestart,
    ServerSpec,
    dump,
    from_dict,
    load,
)
from hostler.model.dependencies import with_needs

Write = Callable[[str, str], Path]

OTHERS = """
[servers.db]
command = ["db"]
[servers.migrate]
kind = "task"
command = ["migrate"]
"""


def loaded(write: Write, lines: str) -> ServerSpec:
    return load(write("a.toml", f"[servers.web]\ncommand = ['true']\n{lines}\n{OTHERS}")).servers["web"]


def said_of(write: Write, lines: str) -> list[str]:
    with pytest.raises(InvalidConfiguration) as caught:
        loaded(write, lines)
    return [str(problem) for problem in caught.value.problems]


@pytest.mark.parametrize(
    ("line", "needs"),
    [
        ("needs = ['db']", ("db",)),
        ("needs = { db = 'ready' }", ("db",)),
        ("needs.db = 'started'", (Need("db", Condition.STARTED),)),
        ("needs = { migrate = 'completed', db = {} }", (Need("migrate", Condition.COMPLETED), "db")),
        ("needs.db.on_restart = 'stop'", (Need("db", on_restart=OnRestart.STOP),)),
        (
            "needs.db = { condition = 'started', on_restart = 'restart' }",
            (Need("db", Condition.STARTED, OnRestart.RESTART),),
        ),
    ],
)
def test_needs_are_a_list_or_a_table_and_read_back_as_they_were(
    write: Write, line: str, needs: tuple[str | Need, ...]
) -> None:
    spec = loaded(write, line)
    assert spec.needs == needs
    assert [need.server for need in spec.needed] == [getattr(need, "server", need) for need in needs]
    again = load(write("b.toml", dump(load("a.toml"))))
    assert again.servers["web"].needs == needs
    from_python = Configuration({"web": spec, **{name: again.servers[name] for name in ("db", "migrate")}})
    assert load(write("c.toml", dump(from_python))).servers["web"] == spec


def test_a_bare_name_is_a_server_that_is_ready_and_is_kept() -> None:
    spec = ServerSpec(name="web", needs=("db", Need("cache", Condition.STARTED)))
    assert spec.needed == (
        Need("db", Condition.READY, OnRestart.KEEP),
        Need("cache", Condition.STARTED, OnRestart.KEEP),
    )


def test_needs_that_are_added_make_none_weaker() -> None:
    cache, task = Need("cache", Condition.STARTED, OnRestart.STOP), Need("task", Condition.COMPLETED)
    assert with_needs(("db", cache, task), Need("db"), Need("cache"), Need("task"), Need("new")) == (
        "db",
        Need("cache", Condition.READY, OnRestart.STOP),
        task,
        Need("new"),
    )
    assert with_needs((cache,), Need("cache", Condition.STARTED)) == (cache,)


def test_a_table_of_needs_is_merged_with_that_of_an_extended_file(write: Write) -> None:
    write("base.toml", f"[servers.web]\ncommand = ['true']\nneeds.db = 'started'\n{OTHERS}")
    path = write("a.toml", "extends = ['base.toml']\n[servers.web.needs]\nmigrate = 'completed'\n")
    assert load(path).servers["web"].needs == (
        Need("db", Condition.STARTED),
        Need("migrate", Condition.COMPLETED),
    )


def test_a_task_has_no_port_and_keeps_what_is_told_of_it(write: Write) -> None:
    spec = loaded(write, "kind = 'task'\ntask_timeout = '2m'\nessential = true\nrestart.policy = 'never'")
    assert (spec.kind, spec.port, spec.task_timeout, spec.essential) == (Kind.TASK, None, 120.0, True)
    assert loaded(write, "kind = 'task'\nport = false").port is None
    assert loaded(write, "kind = 'server'").port == 0
    assert ServerSpec(name="a", kind=Kind.TASK).port is None
    again = from_dict({"servers": {"web": {"kind": "task", "command": ["true"]}}}, base=Path.cwd())
    assert load(write("b.toml", dump(again))).servers["web"] == again.servers["web"]


CHOICES = 'expected one of "keep", "restart", "stop"'
CONDITIONS = 'expected one of "started", "ready", "completed"'


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ("needs.db = 'redy'", f'needs.db: {CONDITIONS}, found "redy"; did you mean "ready"?'),
        ("needs.db.condition = 1", f"needs.db.condition: {CONDITIONS}, found 1"),
        ("needs.db.conditoin = 'ready'", 'needs.db.conditoin: unknown key; did you mean "condition"?'),
        (
            "needs.db.on_restart = 'kep'",
            f'needs.db.on_restart: {CHOICES}, found "kep"; did you mean "keep"?',
        ),
        (
            "needs.db = true",
            (
                'needs.db: expected "started", "ready", "completed" or a table, such as '
                '{ condition = "ready", on_restart = "keep" }, found true; did you mean "ready"?'
            ),
        ),
        ("needs.dbb = 'ready'", 'needs.dbb: there is no server "dbb"; did you mean "db"?'),
        ("needs.web = 'ready'", "needs.web: a server cannot need itself"),
        (
            "needs.db = 'completed'",
            'needs.db: "db" never completes, it is no task (kind = "task"); allowed: "started", "ready"',
        ),
        (
            "needs.db = { condition = 'completed' }",
            (
                'needs.db.condition: "db" never completes, it is no task (kind = "task"); '
                'allowed: "started", "ready"'
            ),
        ),
        ("kind = 'tsk'", 'kind: expected one of "server", "task", found "tsk"; did you mean "task"?'),
        ("essential = 'yes'", 'essential: expected true or false (write true, without quotes), found "yes"'),
        (
            "task_timeout = '5s'",
            'task_timeout: only a task (kind = "task") has a time in which it has to complete',
        ),
        (
            "port = 80\nkind = 'task'",
            "port: a task has no port: it runs to completion; leave it out, found 80",
        ),
        (
            "restart.policy = 'always'\nkind = 'task'",
            'restart.policy: a task ends when it is done; allowed: "on-failure", "never"',
        ),
        (
            "env.A = '${server.port}'\nkind = 'task'",
            "env.A: ${server.port} means nothing here: the server has no port (port = false)",
        ),
    ],
)
def test_a_mistake_is_told_with_its_place_and_what_is_allowed(write: Write, lines: str, message: str) -> None:
    assert said_of(write, lines) == [f"a.toml:3: servers.web.{message}"]


def test_what_is_wrong_with_a_port_of_a_task_is_told_once(write: Write) -> None:
    assert len(said_of(write, "kind = 'task'\nport = 99999")) == 1
    assert len(said_of(write, "task_timeout = 5")) == 1


def test_a_circle_in_python_is_told_by_name() -> None:
    table = {name: {"command": ["x"], "needs": {other: "started"}} for name, other in ("ab", "ba")}
    with pytest.raises(InvalidConfiguration, match=r"in a cycle: a -> b -> a$"):
        from_dict({"servers": table}, base=Path.cwd())
