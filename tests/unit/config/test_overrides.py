"""Single values: `--set servers.web.port=3000`, and `settings={...}` from Python."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import pytest
import tomli_w
from hostler.config.load import load
from hostler.config.source.overrides import Setting, read_setting, read_settings
from hostler.errors import InvalidConfiguration
from hypothesis import example, given
from hypothesis import strategies as st

Write = Callable[[str, str], Path]

DURATION = 'expected a duration with a unit (ms, s, m, h, d), such as "30s"'
FILE = """\
[servers.web]
command = ["x"]
env = { A = "file" }

[servers.web.plugins]
first = { use = "plugin.py:Launcher" }
second = { use = "plugin.py:Watcher" }
"""


def mistakes(call: Callable[[], object]) -> list[str]:
    with pytest.raises(InvalidConfiguration) as caught:
        call()
    return [str(problem) for problem in caught.value.problems]


# -- what stands after --set -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "keys", "value"),
    [
        ("servers.web.port=3000", ("servers", "web", "port"), 3000),
        ("servers.web.port = 3000", ("servers", "web", "port"), 3000),
        ("a=true", ("a",), True),
        ("a=1.5", ("a",), 1.5),
        ('a="x=y"', ("a",), "x=y"),
        ("a='${HOME}'", ("a",), "${HOME}"),
        ("a=x=y", ("a",), "x=y"),
        ("a=http://localhost:3000/?q=1#top", ("a",), "http://localhost:3000/?q=1#top"),
        ("a=30s", ("a",), "30s"),
        ("a=", ("a",), ""),
        ("a=  plain words ", ("a",), "plain words"),
        ('a=["x", 1]', ("a",), ["x", 1]),
        ("a={ b = [1,\n2] }", ("a",), {"b": [1, 2]}),
        ('a."b c".\'d.e\'."\\u0041"=1', ("a", "b c", "d.e", "A"), 1),
        ("a . b=1", ("a", "b"), 1),
        ('"a=b"=1', ("a=b",), 1),
        ("a=1979-05-27", ("a",), date(1979, 5, 27)),
    ],
)
def test_a_setting_is_a_dotted_key_and_a_toml_value_or_else_a_plain_string(
    text: str, keys: tuple[str, ...], value: object
) -> None:
    setting = read_setting(text)
    assert (setting.keys, setting.value) == (keys, value)
    assert type(setting.value) is type(value)


@pytest.mark.parametrize(
    "text",
    ["5 # a comment", "1\nb = 2", "1, 2", "1,", "1]\nb = [2", '"a" "b"', "[1", "tru", "#1", "9" * 5000],
)
def test_what_is_not_one_toml_value_is_a_plain_string(text: str) -> None:
    assert read_setting(f"a={text}").value == text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("servers.web.port", "--set servers.web.port:"),
        ("", "--set :"),
        ("=5", "--set :"),
        ("a..b=5", "--set a..b:"),
        ("a.=5", "--set a.:"),
        ("a b=5", "--set a b:"),
        ('"a=5', '--set "a:'),
        ('"\\q"=5', '--set "\\q":'),
        ("a[0]=5", "--set a[0]:"),
        ("a\x1b[31m", "--set a\\x1b[31m:"),
    ],
)
def test_what_is_no_setting_is_told_with_the_form(text: str, shown: str) -> None:
    assert mistakes(lambda: read_setting(text)) == [
        f"{shown} expected KEY=VALUE with a dotted key, such as servers.web.port=3000"
    ]


def test_the_mistakes_of_several_settings_are_told_together() -> None:
    assert len(mistakes(lambda: read_settings(["a", "b=1", "c"]))) == 2


bare = st.from_regex(r"[A-Za-z0-9_-]{1,8}", fullmatch=True)
scalars = (
    st.integers(-(2**63), 2**63 - 1)
    | st.booleans()
    | st.floats(allow_nan=False)
    | st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
)


@given(
    st.lists(bare | st.text(st.characters(exclude_categories=["Cs"]), max_size=5), min_size=1, max_size=4),
    scalars,
)
@example(["a"], "\x00")
@example(["\\", '"', "'", "=", ".", ""], "'")
def test_any_key_and_value_written_as_toml_is_read_back(keys: list[str], value: Any) -> None:
    """A line of TOML is a setting, whatever stands in it."""
    line = ".".join(tomli_w.dumps({key: 0}).rpartition(" = ")[0] for key in keys)
    written = tomli_w.dumps({"a": value}).partition(" = ")[2].rstrip("\n")
    setting = read_setting(f"{line}={written}")
    assert (setting.keys, setting.value) == (tuple(keys), value)


@given(st.text(max_size=40))
@example("a={" * 500)
@example("a=" + "[" * 5000)
@example(".".join("a" * 3000) + "=1")
@example("\udc80=\udc80")
def test_whatever_stands_after_set_is_a_setting_or_a_mistake_that_is_told(text: str) -> None:
    try:
        setting = read_setting(text)
    except InvalidConfiguration:
        return  # with what is expected: the test above
    else:
        assert setting.keys
        assert setting.label.startswith("--set ")


# -- what it does ----------------------------------------------------------------------------------


def test_a_setting_wins_over_the_file_and_merges_as_a_file_does(write: Write) -> None:
    settings = {"servers.web.port": 3000, "servers.web.env.B": "set", "servers.web.plugins.second": False}
    web = load(write("a.toml", FILE), settings=settings).servers["web"]
    assert (web.port, web.env) == (3000, {"A": "file", "B": "set"})
    assert [plugin.name for plugin in web.plugins] == ["first"]


def test_of_two_settings_of_one_key_the_last_one_wins(write: Write) -> None:
    file = write("a.toml", FILE)
    settings = read_settings(["servers.web.port=1", "servers.web.port=2"])
    assert load(file, settings=settings).servers["web"].port == 2


def test_a_plugin_is_switched_on_and_given_an_option(write: Write) -> None:
    settings = read_settings(["servers.web.plugins.regex-port=true", "servers.web.plugins.first.count=3"])
    web = load(write("a.toml", FILE), settings=settings).servers["web"]
    assert {plugin.name: plugin.options for plugin in web.plugins} == {
        "first": {"count": 3},
        "second": {},
        "regex-port": {},
    }


def test_a_relative_path_in_a_setting_is_seen_from_the_current_folder(
    write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = write("deep/a.toml", "[servers.web]\ncommand = ['x']\n").absolute()
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    web = load(file, settings=read_settings(["servers.web.cwd=here", "servers.web.env.D=${config.dir}"]))
    assert web.servers["web"].cwd == tmp_path / "elsewhere" / "here"
    assert web.servers["web"].env["D"] == str(tmp_path / "elsewhere")


def test_a_server_may_be_made_of_a_template_by_settings_alone(write: Write) -> None:
    file = write(
        "a.toml", f"{FILE}\n[templates.t]\nparameters = {{ port = 0 }}\nport = '${{parameter.port}}'\n"
    )
    settings = read_settings(["servers.new.template={ use = 't', port = 5 }", "servers.new.command=['y']"])
    assert load(file, settings=settings).servers["new"].port == 5


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("servers.web.prot=3", 'servers.web.prot: unknown key; did you mean "port"?'),
        (
            "servers.web.startup_timeout=30",
            f'servers.web.startup_timeout: {DURATION}, found 30; did you mean "30s"?',
        ),
        ("servers.wbe.port=3", 'servers.wbe: there is no server "wbe" to change; did you mean "web"?'),
        ("server.web.port=3", 'server: this cannot be set; did you mean "servers"?'),
        (
            "extends=['b.toml']",
            "extends: this cannot be set; allowed: servers, templates, defaults, listeners, control",
        ),
        ("servers=3", "servers: expected a table of servers, [servers.NAME], found 3"),
        ("servers.web.port=99999999999999999999", "servers.web.port: a number of more than 64 bits"),
        ("servers.web.env.A=5", 'servers.web.env.A: expected a string, found 5; did you mean "5"?'),
    ],
)
def test_a_mistake_names_the_setting_in_the_place_of_a_file(write: Write, text: str, message: str) -> None:
    file = write("a.toml", FILE)
    assert mistakes(lambda: load(file, settings=read_settings([text]))) == [f"--set {text}: {message}"]


def test_a_value_too_deep_is_told(write: Write) -> None:
    deep = "{ a = " * 60 + "1" + "}" * 60
    file = write("a.toml", FILE)
    (told,) = mistakes(lambda: load(file, settings=read_settings([f"servers.web.env={deep}"])))
    assert "nested deeper than 50 levels" in told


def test_from_python_a_mistake_names_the_setting_too(write: Write) -> None:
    file = write("a.toml", FILE)
    assert mistakes(lambda: load(file, settings={"servers.web.prot": 3})) == [
        'settings servers.web.prot: servers.web.prot: unknown key; did you mean "port"?'
    ]
    assert mistakes(lambda: load(file, settings={"servers..port": 3})) == [
        'settings servers..port: expected a dotted key, such as "servers.web.port"'
    ]
    assert mistakes(lambda: load(file, settings={"servers.web.env.A": object()})) == [
        "settings servers.web.env.A: servers.web.env.A: expected a string, found a object"
    ]


def test_the_value_of_a_secret_is_in_no_label_and_no_repr() -> None:
    setting = read_setting("servers.web.env.API_KEY=hunter2hunter2")
    assert setting.label == "--set servers.web.env.API_KEY=********"
    assert "hunter2" not in repr(setting)
    assert repr(Setting("x", ("a",), "hunter2")) == "Setting(label='x', keys=('a',))"


def test_a_long_setting_is_cut_in_messages() -> None:
    assert read_setting("servers.web.title=" + "x" * 500).label.endswith("xxx...")
    assert len(read_setting("servers.web.title=" + "x" * 500).label) < 80
