from collections.abc import Callable
from pathlib import Path

import pytest
from hostler.config.load import load
from hostler.model.spec import PluginSpec

Write = Callable[[str, str], Path]

BASE = """\
[servers.web]
command = ["x"]
[servers.web.plugins]
first = { use = "plugin.py:Launcher", pattern = "p", words = ["a", "b"], headers = { x = "1", y = "1" } }
second = { use = "plugin.py:Watcher" }
third = { use = "plugin.py:Launcher" }
"""
FIRST = {"pattern": "p", "words": ["a", "b"], "headers": {"x": "1", "y": "1"}}


def merged(write: Write, *layers: str) -> dict[str, PluginSpec]:
    """The plugins of BASE with layers of `[servers.web.plugins]` over it, each in a file of its own."""
    write("0.toml", BASE)
    for number, layer in enumerate(layers, 1):
        write(f"{number}.toml", f"extends = ['{number - 1}.toml']\n[servers.web.plugins]\n{layer}\n")
    return {plugin.name: plugin for plugin in load(f"{len(layers)}.toml").servers["web"].plugins}


def test_plugins_are_called_in_the_order_of_their_keys(write: Write) -> None:
    assert list(merged(write)) == ["first", "second", "third"]


def test_a_plugin_that_is_named_again_keeps_its_place(write: Write) -> None:
    plugins = merged(write, "fourth = { use = 'plugin.py:Watcher' }\nthird = true\nfirst = true")

    assert list(plugins) == ["first", "second", "third", "fourth"]
    assert plugins["first"].options == FIRST


def test_false_switches_a_plugin_off(write: Write) -> None:
    assert list(merged(write, "second = false")) == ["first", "third"]


def test_a_plugin_that_was_off_comes_back_with_its_options_and_place(write: Write) -> None:
    plugins = merged(write, "first = false", "first = true")

    assert list(plugins) == ["first", "second", "third"]
    assert plugins["first"].options == FIRST


def test_a_table_switches_on_and_merges_with_what_was_inherited(write: Write) -> None:
    plugins = merged(
        write, "first = false", "first = { pattern = 'q', words = ['c'], headers = { y = '2' } }"
    )

    assert list(plugins) == ["first", "second", "third"]
    assert plugins["first"].options == {"pattern": "q", "words": ["c"], "headers": {"x": "1", "y": "2"}}


def test_an_empty_table_switches_on_too(write: Write) -> None:
    assert merged(write, "first = false", "first = {}")["first"].options == FIRST


def test_a_plugin_can_be_swapped_for_another_class_in_its_place(write: Write) -> None:
    plugins = merged(write, "second = { use = 'plugin.py:Launcher', count = 5 }")

    assert list(plugins) == ["first", "second", "third"]
    assert (plugins["second"].use or "").endswith("plugin.py:Launcher")


def test_a_plugin_that_is_off_is_not_looked_at(write: Write) -> None:
    plugins = merged(
        write,
        "nowhere = { use = 'no.such.module:X', y = '${UNDEFINED}' }\nbad = { use = 1 }",
        "nowhere = false\nbad = false",
    )

    assert list(plugins) == ["first", "second", "third"]


def test_a_new_plugin_that_is_off_is_off(write: Write) -> None:
    assert list(merged(write, "regex-port = false")) == ["first", "second", "third"]


@pytest.mark.parametrize("layer", ["env = 5", "env = { A = '1' }"])
def test_a_table_and_a_scalar_replace_each_other(write: Write, layer: str) -> None:
    write("0.toml", "[servers.web]\ncommand = ['x']\n" + ("env = 7" if "{" in layer else "env = { B = '2' }"))
    path = write("a.toml", f"extends = ['0.toml']\n[servers.web]\n{layer}\n")

    if "{" in layer:
        assert load(path).servers["web"].env == {"A": "1"}
    else:
        with pytest.raises(
            Exception, match=r"^a.toml:3: servers.web.env: expected a table of strings.*found 5$"
        ):
            load(path)
