"""Whatever stands in a file or a mapping: a Configuration or an InvalidConfiguration, and nothing else."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tomli_w
from hostler.config.dump import dump
from hostler.config.load import from_dict, load
from hostler.errors import InvalidConfiguration
from hostler.model.schema.server_keys import RESTART_KEYS, SERVER_KEYS, TOP
from hostler.model.spec import Configuration
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

PLUGINS = ["regex-port", "env-sanitizer", "nosuch", "x"]
STRINGS = [
    "\n",
    "",
    "",
    "",
    "a",
    "localhost",
    "::1",
    "0.0.0.0",
    "30s",
    "0s",
    "on-failure",
    "check",
    "${A}",
    "${parameter.x}",
    "a ${parameter.x}${parameter.y:-d}",
    "${server.port}",
    "${",
    "$$",
    "~",
    "~x",
    "./a",
    "b.toml",
    ".\n",
    "",
    "",
    "",
    "${config.dir}",
    "plugin.py:Launcher",
    "json:JSONDecoder",
    "a\x00b\n",
]
OWN = ["use", "base", "pattern", "A", "a.b", "web", ""]
KEYS = [*TOP, *SERVER_KEYS, *RESTART_KEYS, *OWN, *PLUGINS]
MARKS = [*"[]{}=.,#'\"\\\n \0\r\x1b\u2028é1", "[[", "]]", '"""', "'''"]
WORDS = ["servers", "a", "command", "true", "1979-05-27"]

scalars = (
    st.sampled_from(STRINGS)
    | st.text(max_size=5)
    | st.booleans()
    | st.integers(-2, 70_000)
    | st.floats()
    | st.dates()
    | st.times()
    | st.datetimes()
)
keys = st.sampled_from(KEYS) | st.text(max_size=4)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=4),
    max_leaves=10,
)
plugins = st.dictionaries(st.sampled_from(PLUGINS), st.booleans() | st.dictionaries(keys, values, max_size=3))
likely_fields = {
    "command": st.just(["x"]),
    "plugins": plugins | values,
    "needs": st.lists(st.sampled_from(["a", "b", "c"])),
    "port": st.sampled_from([0, 80, False]),
    "template": st.sampled_from(["t", {"use": "t"}, {"use": "t", "x": "${A}"}, {"use": "t", "x": 5, "y": []}])
    | values,
}
servers = st.builds(
    lambda own, rest: own | rest,
    st.fixed_dictionaries({}, optional=likely_fields),
    st.dictionaries(keys, values, max_size=4),
)
templates = st.builds(
    lambda server, parameters: server | {"parameters": parameters},
    servers,
    st.dictionaries(st.sampled_from(["x", "y"]) | keys, values | st.just({"required": True}), max_size=2),
)
layers = st.fixed_dictionaries(
    {},
    optional={
        name: st.dictionaries(st.sampled_from(["a", "b", "t"]), servers | templates | values, max_size=2)
        for name in ("servers", "templates")
    },
)
trees = st.dictionaries(keys, values, max_size=4) | st.fixed_dictionaries(
    {"servers": st.dictionaries(st.sampled_from(["a", "b", "c"]) | keys, servers | values, max_size=3)},
    optional={
        "extends": st.lists(st.sampled_from(STRINGS)) | values,
        "templates": st.dictionaries(st.sampled_from(["t", "u"]) | keys, templates | values, max_size=2),
        "profiles": st.dictionaries(st.just("p"), layers | values, max_size=1),
    },
)
foreign = st.none() | st.binary() | st.just(object())
mappings = trees | st.dictionaries(keys | st.integers() | st.none(), values | foreign)
toml_like = st.lists(st.sampled_from(MARKS + WORDS) | st.text(max_size=3), max_size=30).map("".join)

relaxed = settings(
    max_examples=3 * settings().max_examples, deadline=None, suppress_health_check=list(HealthCheck)
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("fuzz")
    (folder / "b.toml").write_text("[servers.a]\ncommand = ['x']\n")
    return folder


def outcome(make: Callable[[], Configuration]) -> Configuration | InvalidConfiguration:
    try:
        return make()
    except InvalidConfiguration as error:
        return error


def check(file: Path, profiles: tuple[str, ...] = ()) -> None:
    found = outcome(lambda: load(file, environ={"A": "hunter2-zebra"}, profiles=profiles))
    if isinstance(found, InvalidConfiguration):
        assert found.problems
        assert "hunter2" not in str(found)
        return
    if not found.servers:
        assert found.templates
        return

    written = dump(found)
    file.write_text(written, newline="")
    assert "hunter2" not in written
    assert load(file, environ={"A": "hunter2-zebra"}).servers.keys() == found.servers.keys()


@relaxed
@given(trees)
def test_any_tree_is_a_configuration_or_a_list_of_problems(folder: Path, tree: dict[str, Any]) -> None:
    file = folder / "a.toml"
    file.write_text(tomli_w.dumps(tree), newline="")
    profiles = tree.get("profiles")
    check(file, profiles=("p",) if isinstance(profiles, dict) and "p" in profiles else ())


@relaxed
@given(toml_like)
def test_any_text_is_a_configuration_or_a_list_of_problems(folder: Path, text: str) -> None:
    file = folder / "a.toml"
    file.write_text(text, newline="", errors="surrogatepass")
    check(file)


@relaxed
@given(st.binary(max_size=50))
def test_any_bytes_are_a_configuration_or_a_list_of_problems(folder: Path, data: bytes) -> None:
    file = folder / "a.toml"
    file.write_bytes(data)
    check(file)


@relaxed
@given(mappings)
def test_any_mapping_is_a_configuration_or_a_list_of_problems(folder: Path, tree: dict[str, Any]) -> None:
    found = outcome(lambda: from_dict(tree, base=folder, environ={}))
    if isinstance(found, Configuration):
        assert found.servers or found.templates
    else:
        assert found.problems
