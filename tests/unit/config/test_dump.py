import dataclasses
import tomllib
from collections.abc import Callable
from datetime import date
from enum import Enum
from pathlib import Path
from typing import Any

import pytest
from hostler.config.dump import dump
from hostler.config.load import from_dict, load
from hostler.errors import InvalidConfiguration
from hostler.model.choices import IdentityCheck, InputMode, OutputMode, RestartMode
from hostler.model.spec import Configuration, PluginSpec, RestartPolicy, ServerSpec
from hostler.model.units import Duration, Size
from hypothesis import given
from hypothesis import strategies as st

Write = Callable[[str, str], Path]
ENVIRON = {"HOME": "/home/ada", "WORK": "work", "TOKEN": "hunter2-zebra"}


def same(one: Configuration, other: Configuration) -> bool:
    """Whether two configurations are equal but for where they were read from."""
    kept: dict[str, Any] = {"path": None, "namespace": None}
    return dataclasses.replace(one, **kept) == dataclasses.replace(other, **kept)


FULL = """\
extends = ["lib/base.toml"]

[servers.web]
command = ["bin/${WORK}/x", "${config.dir}", "$${literal}", "${server.port}"]
cwd = "${WORK}"
host = "localhost"
port = 0
startup_timeout = "1.5s"
env = { TOKEN = "${TOKEN}", PRICE = "$$5", PORT = "${server.port}" }
restart = { policy = "always", max_restarts = 2 }
needs = ["base"]

[servers.web.plugins]
regex = { use = "./plugin.py:Launcher", pattern = '^a$', source = "./here", headers = { a = "b" } }
off = { use = "./plugin.py:Watcher" }
plain = { use = "./plugin.py:Watcher" }

[servers.worker]
command = ["work", "~/x"]
port = false
cwd = "~/work"
"""

LIB = """\
[servers.base]
command = ["../base", "${config.dir}/data"]

[servers.web]
port = 80

[servers.web.plugins]
off = false
regex = { count = 2 }
"""


@pytest.fixture
def configuration(write: Write) -> Configuration:
    write("lib/base.toml", LIB)
    write("off.toml", "extends = ['a.toml']\n[servers.web.plugins]\noff = false\n")
    write("a.toml", FULL)
    return load("off.toml", environ=ENVIRON)


@pytest.mark.requirement("R47")
def test_what_is_written_reads_back_as_the_same(configuration: Configuration, write: Write) -> None:
    again = load(write("again.toml", dump(configuration)), environ=ENVIRON)

    assert same(again, configuration)
    assert dump(again) == dump(configuration)


def test_what_is_written_means_the_same_in_another_folder(
    configuration: Configuration, write: Write, tmp_path: Path
) -> None:
    (tmp_path / "elsewhere").mkdir()
    again = load(write("elsewhere/a.toml", dump(configuration)), environ=ENVIRON)

    assert same(again, configuration)


def test_what_is_written_is_canonical(configuration: Configuration, tmp_path: Path) -> None:
    document = tomllib.loads(dump(configuration))

    assert document == configuration.document
    assert list(document) == ["servers"]
    assert list(document["servers"]) == ["base", "web", "worker"]
    assert document["servers"]["web"]["plugins"] == {
        "off": False,
        "regex": {
            "use": f"{tmp_path}/plugin.py:Launcher",
            "pattern": "^a$",
            "source": "./here",
            "headers": {"a": "b"},
            "count": 2,
        },
        "plain": {"use": f"{tmp_path}/plugin.py:Watcher"},
    }
    assert document["servers"]["web"]["cwd"] == f"{tmp_path}/${{WORK}}"
    assert document["servers"]["web"]["command"] == [
        f"{tmp_path}/bin/${{WORK}}/x",
        str(tmp_path),
        "$${literal}",
        "${server.port}",
    ]
    assert document["servers"]["worker"]["cwd"] == "~/work"
    assert document["servers"]["base"]["command"] == [f"{tmp_path}/base", f"{tmp_path}/lib/data"]


def test_active_plugins_are_written_as_tables_in_their_order(configuration: Configuration) -> None:
    text = dump(configuration)
    headers = ["[servers.web.plugins.regex]", "[servers.web.plugins.plain]"]

    assert [text.index(header) for header in headers] == sorted(text.index(header) for header in headers)


def test_no_value_of_the_environment_is_written(configuration: Configuration) -> None:
    assert configuration.servers["web"].env["TOKEN"] == "hunter2-zebra"
    assert "zebra" not in dump(configuration)


def test_a_mapping_is_written_as_a_file_would_be(tmp_path: Path) -> None:
    mapping = {"servers": {"web": {"command": ["x"], "cwd": "${HOME}"}}}
    configuration = from_dict(mapping, base=tmp_path, environ=ENVIRON)

    assert tomllib.loads(dump(configuration)) == mapping


class Colour(Enum):
    RED = "red"


SPEC = ServerSpec(
    name="web",
    command=("/bin/web", "$${literal}", "${server.port}"),
    cwd=Path("/srv/a$$b"),
    host="0.0.0.0",
    port=8443,
    scheme="https",
    expose=True,
    env={"A": "1", "B": "a$b"},
    stdin=InputMode.INHERIT,
    stdout=OutputMode.INHERIT,
    stderr=OutputMode.IGNORE,
    prepare_timeout=0.25,
    startup_timeout=1e-5,
    force_kill_timeout=0.0,
    max_connection_failures=9,
    restart=RestartPolicy(RestartMode.NEVER, 1, 0.001, 123456.789, 0.1, 0),
    needs=("db",),
    autostart=False,
    identity=IdentityCheck.OFF,
    user="nobody",
    group="no$$group",
    no_new_privileges=False,
    guard=True,
    port_from_socket=True,
    memory_interval=1 / 3,
    plugins=(PluginSpec("x", {"count": 3, "words": ["a$"]}, use="plugin.py:Launcher"),),
)


def test_specs_made_in_python_read_back_as_the_same(write: Write, tmp_path: Path) -> None:
    (plugin,) = SPEC.plugins
    database = ServerSpec(name="db", command=("db",), cwd=Path("/srv"), port=None)
    made = dataclasses.replace(SPEC, plugins=(dataclasses.replace(plugin, base=tmp_path),))
    read = dataclasses.replace(SPEC, plugins=(dataclasses.replace(plugin, use=f"{tmp_path}/{plugin.use}"),))

    text = dump(Configuration(servers={"db": database, "web": made}))

    assert load(write("a.toml", text)).servers == {"db": database, "web": read}


@given(st.floats(0, 1e12))
def test_every_duration_reads_back_as_the_same_number(seconds: float) -> None:
    spec = ServerSpec(name="a", memory_interval=seconds)
    written = tomllib.loads(dump(Configuration(servers={"a": spec})))["servers"]["a"].get(
        "memory_interval", "60s"
    )

    assert Duration.parse(written) == seconds


def test_options_made_in_python_are_written_as_toml_knows_them() -> None:
    options = {
        "interval": Duration(0.25),
        "long": Duration(90),
        "size": Size(2048),
        "path": Path("/srv/$x"),
        "colour": Colour.RED,
        "words": ("b", "a"),
        "set": frozenset({"b", "a"}),
        "table": {"when": date(2020, 1, 2)},
    }
    spec = ServerSpec(name="a", plugins=(PluginSpec("p", options),))

    assert tomllib.loads(dump(Configuration(servers={"a": spec})))["servers"]["a"]["plugins"]["p"] == {
        "interval": "250ms",
        "long": "90s",
        "size": "2048 B",
        "path": "/srv/$$x",
        "colour": "red",
        "words": ["b", "a"],
        "set": ["a", "b"],
        "table": {"when": date(2020, 1, 2)},
    }


class Ready:
    """A plugin object as a program might make one."""


@pytest.mark.parametrize(
    ("plugins", "message"),
    [
        (
            (PluginSpec("ready", instance=Ready()),),
            "servers.web.plugins.ready: a plugin object cannot be written as TOML; name its class, use = ",
        ),
        (
            (PluginSpec("p", {"a": [1, {"b": None}]}),),
            "servers.web.plugins.p.a[1].b: a NoneType cannot be written as TOML",
        ),
        (
            (PluginSpec("p"), PluginSpec("p")),
            "servers.web.plugins.p: two plugins of one server have this name",
        ),
    ],
)
def test_what_toml_cannot_hold_is_refused_with_its_key(plugins: tuple[PluginSpec, ...], message: str) -> None:
    with pytest.raises(InvalidConfiguration) as caught:
        dump(Configuration(servers={"web": ServerSpec(name="web", plugins=plugins)}))
    assert str(caught.value).startswith(message)
