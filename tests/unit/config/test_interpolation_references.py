"""`${servers.NAME.port}`: what a configuration may refer to of other servers, and what follows from it."""

from collections.abc import Callable
from pathlib import Path

import pytest
from hostler.config.dump import dump
from hostler.config.load import load
from hostler.errors import InvalidConfiguration

Write = Callable[[str, str], Path]
DATABASES = """
[servers.db]
command = ['db']
[servers.my-db]
command = ['db']
[servers.task]
command = ['x']
port = false
"""
KNOWN_AT_START = "is known only at the start: use it in command, env and plugin options"


def said_of(path: Path) -> list[str]:
    with pytest.raises(InvalidConfiguration) as caught:
        load(path, environ={"HOME": "/home/ada"})
    return [str(problem) for problem in caught.value.problems]


@pytest.mark.parametrize(
    "line",
    [
        "command = ['web', '--db=${servers.db.port}']",
        "env = { URL = '${servers.db.url}/app' }",
        "plugins.x = { use = './plugin.py:Launcher', headers = { to = '${servers.db.host}' } }",
        "plugins.x = { use = './plugin.py:Launcher', words = ['${servers.db.url:-nowhere}'] }",
    ],
)
def test_a_server_needs_what_it_refers_to(write: Write, line: str) -> None:
    web = load(
        write(
            "a.toml",
            f"[servers.web]\ncommand = ['web']\n{line}\n".replace("\ncommand = ['web']\ncommand", "\ncommand")
            + DATABASES,
        )
    ).servers["web"]

    assert [need.server for need in web.needed] == ["db"]


def test_a_name_with_a_hyphen_is_a_name_and_a_default_comes_after_it(write: Write) -> None:
    text = "[servers.web]\ncommand = ['web', '${servers.my-db.port:-5432}', '$${servers.db.port}']\n"
    web = load(write("a.toml", text + DATABASES)).servers["web"]

    assert [need.server for need in web.needed] == ["my-db"]
    assert web.command == ("web", "${servers.my-db.port:-5432}", "$${servers.db.port}")


def test_what_is_needed_already_is_not_added_twice(write: Write) -> None:
    text = "[servers.web]\ncommand = ['web', '${servers.db.port}', '${servers.my-db.url}']\n"
    text += "needs = ['task', 'db']\n"

    assert [need.server for need in load(write("a.toml", text + DATABASES)).servers["web"].needed] == [
        "task",
        "db",
        "my-db",
    ]


def test_a_plugin_that_is_off_needs_nothing(write: Write) -> None:
    write(
        "base.toml",
        "[servers.web]\nplugins.x = { use = './plugin.py:Launcher', pattern = '${servers.nobody.port}' }\n",
    )
    text = "extends = ['base.toml']\n[servers.web]\ncommand = ['web']\nplugins.x = false\n"

    assert [need.server for need in load(write("a.toml", text)).servers["web"].needed] == []


WRONG = [
    (
        "env.A = '${servers.dbb.port}'",
        'env.A: ${servers.dbb.port}: there is no server "dbb"; did you mean "db"?',
    ),
    (
        "env.A = '${servers.elsewhere.port:-1}'",
        'env.A: ${servers.elsewhere.port}: there is no server "elsewhere"; allowed: db, my-db, task',
    ),
    (
        "env.A = '${servers.web.port}'",
        "env.A: ${servers.web.port} names the server itself; write ${server.port}",
    ),
    (
        "env.A = '${servers.task.url}'",
        "env.A: ${servers.task.url} means nothing: task has no port (port = false)",
    ),
    (
        "env.A = '${servers.db.prot}'",
        'env.A: ${servers.db.prot} is not defined; did you mean "${servers.db.port}"?',
    ),
    (
        "env.A = '${server.my-db.url}'",
        'env.A: ${server.my-db.url} is not defined; did you mean "${servers.my-db.url}"?',
    ),
    ("cwd = '${servers.db.port}'", f"cwd: ${{servers.db.port}} {KNOWN_AT_START}"),
    ("host = '${servers.db.host}'", f"host: ${{servers.db.host}} {KNOWN_AT_START}"),
    (
        "plugins.x = { use = './plugin.py:Launcher', pattern = '${servers.dbb.port}' }",
        'plugins.x.pattern: ${servers.dbb.port}: there is no server "dbb"; did you mean "db"?',
    ),
]


@pytest.mark.parametrize(("line", "message"), WRONG)
def test_a_wrong_reference_is_told_with_its_place(write: Write, line: str, message: str) -> None:
    path = write("a.toml", f"[servers.web]\ncommand = ['true']\n{line}\n" + DATABASES)

    assert said_of(path) == [f"a.toml:3: servers.web.{message}"]


def test_servers_that_refer_to_each_other_are_a_circle_told_where_one_refers(write: Write) -> None:
    path = write(
        "a.toml",
        """\
        [servers.a]
        command = ["a"]
        env.B = "${servers.b.url}"
        [servers.b]
        command = ["b"]
        env.A = "${servers.a.url}"
        """,
    )

    assert said_of(path) == [
        "a.toml:3: servers.a.env.B: servers need each other in a cycle: a (a.toml:3) -> b (a.toml:6) -> a"
    ]


def test_a_circle_may_lead_over_needs_and_references(write: Write) -> None:
    path = write(
        "a.toml",
        "[servers.a]\ncommand = ['a']\nneeds = ['b']\n[servers.b]\ncommand = ['b', '${servers.a.port}']\n",
    )
    (problem,) = said_of(path)

    assert "servers need each other in a cycle" in problem
    assert problem.startswith(("a.toml:3: servers.a.needs", "a.toml:5: servers.b.command[1]"))


def test_references_are_written_back_as_they_are(write: Write) -> None:
    text = "[servers.web]\ncommand = ['web', '${servers.my-db.port:-1}', '$${x}']\n"
    configuration = load(write("a.toml", text + DATABASES))

    assert '"${servers.my-db.port:-1}"' in dump(configuration)
    assert "needs" not in dump(configuration)
    assert load(write("b.toml", dump(configuration))).servers == configuration.servers
