"""Secrets and files of variables in a configuration: where they are, and never what they hold."""

import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest
from hostler.config.dump import dump
from hostler.config.load import from_dict, load
from hostler.errors import InvalidConfiguration
from hostler.model.secret import Secret
from hostler.model.spec import Configuration, EnvFile, PluginSpec, ServerSpec

Write = Callable[[str, str], Path]
ENVIRON = {"HOME": "/home/ada", "WHERE": "vault", "HIDDEN": "file:hunter2-zebra", "TOKEN": "hunter2-zebra"}
STRING = '"env:NAME" or "file:PATH"'

LOCKED = """
from dataclasses import dataclass, field
from typing import Annotated

from hostler import Secret, hookimpl, option

@dataclass(eq=False)
class Locked:
    key: Secret | None = option(None, "One")
    either: str | Secret = option("", "Plain, or not")
    headers: dict[str, str | Secret] = option({}, "Some")
    keys: list[Secret] = option([], "Several")
    marked: Annotated[Secret | None, "a mark"] = option(None, "One more")
    plain: dict[str, str] = option({}, "No secrets")

    @hookimpl
    async def pre_spawn(self, launch):
        pass
"""


@pytest.fixture
def locked(write: Write) -> Write:
    write("locked.py", LOCKED)
    return write


def said_of(path: Path) -> list[str]:
    with pytest.raises(InvalidConfiguration) as caught:
        load(path, environ=ENVIRON)
    return [str(problem) for problem in caught.value.problems]


def server(line: str) -> str:
    return f"[servers.web]\ncommand = ['true']\n{line}\n"


def test_a_secret_is_known_by_where_it_is_seen_from_the_file_that_names_it(
    write: Write, tmp_path: Path
) -> None:
    write(
        "lib/base.toml",
        server("env = { A = { secret = 'file:a' }, B = { secret = 'env:B' }, D = { secret = 'file:../d' } }"),
    )
    text = (
        "extends = ['lib/base.toml']\n[servers.web.env]\nC = { secret = 'file:~/${WHERE}/c' }\nP = 'plain'\n"
    )

    assert dict(load(write("a.toml", text), environ=ENVIRON).servers["web"].env) == {
        "A": Secret(f"file:{tmp_path}/lib/a"),
        "B": Secret("env:B"),
        "D": Secret(f"file:{tmp_path}/d"),
        "C": Secret("file:/home/ada/vault/c"),
        "P": "plain",
    }


WRONG = [
    ("env.A = { secert = 'env:B' }", 'env.A.secert: unknown key; did you mean "secret"?'),
    ("env.A = { secret = 'env:B', x = 1 }", "env.A.x: unknown key; allowed: secret"),
    ("env.A = {}", f"env.A: expected a string, or {{ secret = {STRING} }}, found a table"),
    ("env.A = { secret = 5 }", 'env.A.secret: expected a string, found 5; did you mean "5"?'),
    ("env.A = { secret = 'evn:B' }", f'env.A.secret: expected {STRING}; did you mean "env:B"?'),
    ("env.A = { secret = 'File:./b' }", f'env.A.secret: expected {STRING}; did you mean "file:./b"?'),
    ("env.A = { secret = '/run/b' }", f'env.A.secret: expected {STRING}; did you mean "file:/run/b"?'),
    ("env.A = { secret = 'hunter2-zebra' }", f"env.A.secret: expected {STRING}"),
    ("env.A = { secret = '${TOKEN}' }", f"env.A.secret: expected {STRING}"),
    ("env.A = { secret = 'env:' }", f"env.A.secret: expected {STRING}"),
    ("env.A = { secret = 'file:' }", f"env.A.secret: expected {STRING}"),
    ("env.A = { secret = 'file:~nobody-here/x' }", "env.A.secret: expected a home directory that exists"),
    (
        "env.A = { secret = 'file:${server.port}' }",
        "env.A.secret: ${server.port} is known only at the start: use it in command, env and plugin options",
    ),
    (
        "env_file = 5",
        'env_file: expected a path, or a table such as { path = ".env.local", optional = true }',
    ),
    ("env_file = ['']", 'env_file[0]: expected a string that is not empty, found ""'),
    ("env_file = [{ optional = true }]", "env_file[0].path: there is no path, found a table"),
    (
        "env_file = [{ path = 'a', optinal = true }]",
        'env_file[0].optinal: unknown key; did you mean "optional"?',
    ),
    (
        "env_file = { path = 'a', optional = 1 }",
        "env_file.optional: expected true or false (write true), found 1",
    ),
    ("env_file = '~nobody-here/x'", "env_file: expected a home directory that exists"),
    (
        "plugins.x = { use = 'locked.py:Locked', key = { secret = 'evn:B' } }",
        f'plugins.x.key.secret: expected {STRING}; did you mean "env:B"?',
    ),
    (
        "plugins.x = { use = 'locked.py:Locked', keys = [{ secret = 'env:B', y = 1 }] }",
        "plugins.x.keys[0].y: unknown key; allowed: secret",
    ),
    (
        "plugins.x = { use = 'locked.py:Locked', key = 'hunter2-zebra' }",
        'plugins.x.key: expected { secret = "env:NAME" }, found a string',
    ),
    (
        "plugins.x = { use = 'locked.py:Nobody', key = { secret = 'evn:B' } }",
        'plugins.x: plugin "x": there is no Nobody in ',
    ),
    (
        "plugins.x = { use = 'locked.py:Locked', key = { secret = 'file:${servers.web.port}' } }",
        "plugins.x.key.secret: where a secret is has to be known before the start, without ports of servers",
    ),
]


@pytest.mark.parametrize(("line", "message"), WRONG)
def test_a_mistake_is_told_with_its_place_and_without_what_may_be_the_secret(
    locked: Write, line: str, message: str
) -> None:
    (problem, *_) = said = said_of(locked("a.toml", server(line)))

    assert problem.startswith(f"a.toml:3: servers.web.{message}")
    assert "zebra" not in repr(said)


def test_an_option_that_is_a_secret_is_one_wherever_its_type_says_so(locked: Write, tmp_path: Path) -> None:
    text = server(
        "plugins.x = { use = 'locked.py:Locked', key = { secret = 'file:${WHERE}/$$k' }, either = 'plain', "
        "headers = { A = { secret = 'file:a' }, secret = 'file:b' }, keys = [{ secret = 'env:K' }], "
        "marked = { secret = 'file:m' }, plain = { secret = 'file:c' } }"
    )
    (plugin,) = load(locked("a.toml", text), environ=ENVIRON).servers["web"].plugins

    assert plugin.options == {
        "key": {"secret": f"file:{tmp_path}/vault/$$k"},
        "either": "plain",
        "headers": {"A": {"secret": f"file:{tmp_path}/a"}, "secret": "file:b"},
        "keys": [{"secret": "env:K"}],
        "marked": {"secret": f"file:{tmp_path}/m"},
        "plain": {"secret": "file:c"},
    }


def test_files_of_variables_are_seen_from_the_file_that_names_them(write: Write, tmp_path: Path) -> None:
    write("lib/base.toml", server("env_file = '.env'"))
    base = load(write("a.toml", "extends = ['lib/base.toml']\n"), environ=ENVIRON).servers["web"]
    text = server("env_file = ['${WHERE}/.env', { path = '~/.env.local', optional = true }, { path = '/x' }]")
    listed = load(write("b.toml", text), environ=ENVIRON).servers["web"]

    assert base.env_file == (EnvFile(tmp_path / "lib" / ".env"),)
    assert listed.env_file == (
        EnvFile(tmp_path / "vault" / ".env"),
        EnvFile(Path("/home/ada/.env.local"), optional=True),
        EnvFile(Path("/x")),
    )


FULL = """\
[servers.web]
command = ["true"]
env_file = ["local$$.env", { path = "${WHERE}/.env", optional = true }, "~/x"]
env = { A = { secret = "file:${WHERE}/a" }, B = { secret = "env:B" }, C = { secret = "${HIDDEN}" } }

[servers.web.plugins]
x = { use = "locked.py:Locked", key = { secret = "file:k" }, keys = [{ secret = "file:${config.dir}/k" }] }
off = { use = "locked.py:Locked", key = { secret = "file:k" } }
"""


def test_what_is_written_means_the_same_secrets_and_files_in_any_folder(
    locked: Write, tmp_path: Path
) -> None:
    locked("full.toml", FULL)
    off = "extends = ['full.toml']\n[servers.web.plugins]\noff = false\n"
    configuration = load(locked("a.toml", off), environ=ENVIRON)
    text = dump(configuration)
    (tmp_path / "elsewhere").mkdir()
    web = tomllib.loads(text)["servers"]["web"]

    assert (
        load(
            locked("elsewhere/a.toml", text.replace('"${HIDDEN}"', '"file:../hunter2-zebra"')),
            environ=ENVIRON,
        ).servers
        == configuration.servers
    )
    assert web["env"] == {
        "A": {"secret": f"file:{tmp_path}/${{WHERE}}/a"},
        "B": {"secret": "env:B"},
        "C": {"secret": "${HIDDEN}"},
    }
    assert web["env_file"] == [
        f"{tmp_path}/local$$.env",
        {"path": f"{tmp_path}/${{WHERE}}/.env", "optional": True},
        "~/x",
    ]
    assert web["plugins"]["x"]["key"] == {"secret": f"file:{tmp_path}/k"}
    assert "zebra" not in text


def test_specs_made_in_python_are_written_with_where_their_secrets_are(locked: Write, tmp_path: Path) -> None:
    spec = ServerSpec(
        name="web",
        command=("true",),
        cwd=tmp_path,
        env={"A": Secret("file:$a"), "B": Secret("env:B")},
        env_file=(EnvFile(Path("$.env")), EnvFile(Path("/x"), optional=True)),
        plugins=(
            PluginSpec("x", {"key": Secret("file:/k"), "headers": {}}, use=f"{tmp_path}/locked.py:Locked"),
        ),
    )
    read = load(locked("a.toml", dump(Configuration(servers={"web": spec}))), environ=ENVIRON).servers["web"]

    assert read.env == {"A": Secret(f"file:{tmp_path}/$a"), "B": Secret("env:B")}
    assert read.env_file == (EnvFile(tmp_path / "$.env"), EnvFile(Path("/x"), optional=True))
    assert read.plugins[0].options == {"key": {"secret": "file:/k"}, "headers": {}}


def test_a_mapping_may_hold_them_too(tmp_path: Path) -> None:
    mapping = {"servers": {"web": {"command": ["x"], "env": {"A": {"secret": "file:a"}}, "env_file": ".env"}}}
    web = from_dict(mapping, base=tmp_path, environ=ENVIRON).servers["web"]

    assert web.env["A"] == Secret(f"file:{tmp_path}/a")
    assert web.env_file == (EnvFile(tmp_path / ".env"),)
