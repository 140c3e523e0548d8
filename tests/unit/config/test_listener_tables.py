"""`[listeners]`: read, merged, written back and told apart from plugins, each checked by its own class."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest
from hostler import Configuration, InvalidConfiguration, ListenerSpec, Secret, dump, from_dict, load
from hostler.config.json_schema import json_schema
from hostler.config.load import load_resolved
from hostler.plugins.discovery import find_class
from hostler.plugins.json_schema import options_schema
from hostler.plugins.options import build
from jsonschema import Draft7Validator

LISTENER = '''
from dataclasses import dataclass, field
from typing import Any

from hostler import Duration, Secret, hookimpl, option


@dataclass(eq=False)
class Hook:
    """Sends events."""

    url: str | Secret = option(..., "where to", secret=True)
    every: Duration = option(Duration(5), "how often")
    headers: dict[str, str | Secret] = option({}, "more")

    async def listen(self, events: Any, context: Any) -> None: ...


@dataclass(eq=False)
class Deaf:
    async def hear(self, events: Any) -> None: ...


@dataclass(eq=False)
class Plugin:
    @hookimpl
    async def on_ready(self, server: Any) -> None: ...


class Plain:
    async def listen(self, events: Any, context: Any) -> None: ...
'''
HOOK = "[listeners.hook]\nuse = 'my.py:Hook'\n"
SERVERS = "[servers.web]\ncommand = ['sleep', '9']\nport = false\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "my.py").write_text(LISTENER)
    return tmp_path


def write(folder: Path, text: str, name: str = "hostler.toml") -> Path:
    (folder / name).write_text(text)
    return folder / name


def problems(folder: Path, text: str, **environ: str) -> list[str]:
    with pytest.raises(InvalidConfiguration) as caught:
        load(write(folder, SERVERS + text), environ=environ)
    return [f"{one.key}:{one.line}: {one}".replace(f"{folder}/", "") for one in caught.value.problems]


def test_options_are_those_of_the_class_filled_in_and_secret(folder: Path) -> None:
    text = """
        [listeners.hook]
        use = "my.py:Hook"
        url = "https://${HOST}/$$x/${API_TOKEN}"
        every = "2m"
        headers = { A = "b", Authorization = { secret = "file:token" } }
    """
    environ = {"HOST": "h.example", "API_TOKEN": "a-$-token"}
    spec = load(write(folder, SERVERS + text), environ=environ).listeners["hook"]
    assert (spec.name, spec.use) == ("hook", f"{folder}/my.py:Hook")
    assert spec.secrets == {"a-$-token"}
    assert spec.options["url"] == "https://h.example/$$x/a-$$-token"
    listener = build(spec)
    assert vars(listener)["every"] == 120
    assert vars(listener)["headers"] == {"A": "b", "Authorization": Secret(f"file:{folder}/token")}


def test_layers_lie_over_listeners_as_over_servers(folder: Path) -> None:
    write(folder, "[listeners]\nhook = { use = 'my.py:Hook', url = 'a', every = '1s' }\n", "base.toml")
    text = """
        extends = ["base.toml"]
        [listeners.hook]
        url = "b"
        [profiles.quiet.listeners]
        hook = false
        [profiles.slow.listeners.hook]
        every = "1h"
    """
    file = write(folder, text + SERVERS)
    assert load(file).listeners["hook"].options == {"url": "b", "every": "1s"}
    assert load(file, profiles=["slow"]).listeners["hook"].options == {"url": "b", "every": "1h"}
    assert load(file, profiles=["quiet"]).listeners == {}
    assert load(file, settings={"listeners.hook": False}).listeners == {}
    settings = {"listeners.hook.url": "c"}
    assert load(file, settings=settings).listeners["hook"].options == {"url": "c", "every": "1s"}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[listeners]\nhook = 5\n", "expected true, false or a table of options, found 5"),
        ("[[listeners]]\n", "expected a table of listeners, [listeners], found a list"),
        ("[listener.hook]\n", 'unknown key; did you mean "listeners"?'),
        (
            HOOK + "url = 'a'\nevry = '1s'\n",
            'unknown option; did you mean "every"?',
        ),
        (HOOK, "this option is required"),
        (HOOK + "url = 'a'\nevery = 5\n", 'did you mean "5s"?'),
        ("[listeners.hook]\nuse = 'my.py:Hok'\n", 'there is no Hok in my.py; did you mean "Hook"?'),
        ("[listeners.hook]\nuse = 'my.py:Plain'\n", "Plain is no dataclass"),
        ("[listeners.hook]\nuse = 'my.py:Deaf'\n", 'it has no "async def listen(self, events, context)"'),
        ("[listeners.hook]\nuse = 'my.py:Plugin'\n", "it has hooks (on_ready): a plugin is used in"),
        ("[listeners]\ntcp-health = true\n", '"tcp-health" is a plugin: write it in [servers.NAME.plugins]'),
        ("[listeners]\nhook = true\n", 'there is no listener "hook" among the installed'),
        (
            "[servers.web.plugins]\nhook = { use = 'my.py:Hook', url = 'a' }\n",
            "it is a listener: write it in",
        ),
        (HOOK + "url = '${GONE}'\n", "${GONE} is not defined: there is no"),
        (HOOK + "url = '${server.port}'\n", "${server.port} is not defined"),
        ("[profiles.a.listener]\n", 'unknown key; did you mean "listeners"?'),
    ],
)
def test_a_mistake_is_told_with_its_place(folder: Path, text: str, expected: str) -> None:
    (told,) = problems(folder, text)
    assert expected in told


def test_a_variable_that_is_not_set_stops_a_run_and_not_a_look(folder: Path) -> None:
    file = write(folder, SERVERS + HOOK + "url = '${GONE}'\n")
    configuration = load_resolved(file).configuration
    (problem,) = configuration.listeners["hook"].unset
    assert (problem.key, problem.line) == ("listeners.hook.url", 6)


def test_listeners_are_written_back_as_they_were_read(
    folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    text = HOOK + "url = { secret = 'file:x' }\nheaders = { A = '${HOST}' }\n"
    configuration = load(write(folder, SERVERS + text), environ={"HOST": "h"})
    written = dump(configuration)
    assert tomllib.loads(written)["listeners"]["hook"] == {
        "use": f"{folder}/my.py:Hook",
        "url": {"secret": f"file:{folder}/x"},
        "headers": {"A": "${HOST}"},
    }
    elsewhere = write(tmp_path_factory.mktemp("other"), written)
    assert load(elsewhere, environ={"HOST": "h"}).listeners == configuration.listeners


def test_listeners_of_a_program_are_written_too(folder: Path) -> None:
    spec = ListenerSpec("hook", {"url": "a", "every": "1s"}, "my.py:Hook", base=folder)
    made = Configuration(from_dict(tomllib.loads(SERVERS), base=folder).servers, listeners={"hook": spec})
    again = load(write(folder, dump(made)))
    assert again.listeners["hook"].options == spec.options
    with pytest.raises(InvalidConfiguration, match="a plugin object cannot be written as TOML"):
        dump(Configuration({}, listeners={"hook": ListenerSpec("hook", instance=object())}))


def test_the_files_of_a_listener_are_among_those_that_a_sandbox_protects(folder: Path) -> None:
    text = HOOK + "url = { secret = 'file:token' }\n"
    files = load(write(folder, SERVERS + text)).files
    assert {folder / "my.py", folder / "token", folder / "hostler.toml"} == set(files)


def test_the_schema_has_their_options_with_a_meaning(folder: Path) -> None:
    class_ = find_class(ListenerSpec("hook", use=f"{folder}/my.py:Hook"))
    schema = json_schema({}, {"hook": options_schema(class_)})
    check = Draft7Validator(schema)
    right = {"listeners": {"hook": {"url": "x", "every": "5s"}, "mine": {"use": "a:B"}, "off": False}}
    assert check.is_valid(right | {"profiles": {"a": {"listeners": {"hook": False}}}})
    for wrong in ("{ hook = { url = 5 } }", "{ hook = { uri = 'x' } }", "{ mine = {} }", "{ mine = true }"):
        assert not check.is_valid(tomllib.loads(f"listeners = {wrong}"))
    _, _, table, _ = schema["definitions"]["listeners"]["properties"]["hook"]["anyOf"]
    assert table["properties"]["every"]["description"] == "how often"
