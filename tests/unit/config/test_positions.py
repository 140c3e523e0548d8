import tomllib
from collections.abc import Iterator
from typing import Any

import pytest
import tomli_w
from hostler.config.source.positions import lines
from hypothesis import given
from hypothesis import strategies as st

EVERYTHING = '''\
# a comment with [brackets] = "and quotes
title = "first"
"quoted key" = 'x = 1'
'literal.key' = """
not_a_key = 1
[not.a.table]
\\""" still inside"""
"esc\\u0061ped" = 1
a.b."c d".e = 2
a.b.f = 3

[servers.web] # comment ] here
port = 80
command = [
    "python", # the program
    "-m",
    """multi
line""",

    [1, 2,
     { deep = 1, er.key = [ 3 ] }],
]
restart = { policy = "never", delays = { initial = "1s", max = '2s' }, max_restarts = 2 }
when = 1979-05-27 07:32:00 # a space inside
after = 1.5e3

[ servers . db ]
text = \'\'\'
[x]
y = 1\'\'\'\'
end = """""quoted"""""
last = true

[[servers.list]]
name = "one"
[servers.list.sub]
inner = 1
[[servers.list]]
name = "two"
[[servers.list.more]]
z = 1
'''

EXPECTED = {
    ("title",): 2,
    ("quoted key",): 3,
    ("literal.key",): 4,
    ("escaped",): 8,
    ("a",): 9,
    ("a", "b"): 9,
    ("a", "b", "c d"): 9,
    ("a", "b", "c d", "e"): 9,
    ("a", "b", "f"): 10,
    ("servers",): 12,
    ("servers", "web"): 12,
    ("servers", "web", "port"): 13,
    ("servers", "web", "command"): 14,
    ("servers", "web", "command", 0): 15,
    ("servers", "web", "command", 1): 16,
    ("servers", "web", "command", 2): 17,
    ("servers", "web", "command", 3): 20,
    ("servers", "web", "command", 3, 0): 20,
    ("servers", "web", "command", 3, 1): 20,
    ("servers", "web", "command", 3, 2): 21,
    ("servers", "web", "command", 3, 2, "deep"): 21,
    ("servers", "web", "command", 3, 2, "er"): 21,
    ("servers", "web", "command", 3, 2, "er", "key"): 21,
    ("servers", "web", "command", 3, 2, "er", "key", 0): 21,
    ("servers", "web", "restart"): 23,
    ("servers", "web", "restart", "policy"): 23,
    ("servers", "web", "restart", "delays"): 23,
    ("servers", "web", "restart", "delays", "initial"): 23,
    ("servers", "web", "restart", "delays", "max"): 23,
    ("servers", "web", "restart", "max_restarts"): 23,
    ("servers", "web", "when"): 24,
    ("servers", "web", "after"): 25,
    ("servers", "db"): 27,
    ("servers", "db", "text"): 28,
    ("servers", "db", "end"): 31,
    ("servers", "db", "last"): 32,
    ("servers", "list"): 34,
    ("servers", "list", 0): 34,
    ("servers", "list", 0, "name"): 35,
    ("servers", "list", 0, "sub"): 36,
    ("servers", "list", 0, "sub", "inner"): 37,
    ("servers", "list", 1): 38,
    ("servers", "list", 1, "name"): 39,
    ("servers", "list", 1, "more"): 40,
    ("servers", "list", 1, "more", 0): 40,
    ("servers", "list", 1, "more", 0, "z"): 41,
}


def paths(value: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """Every path of a tree that tomllib read: what the scanner has to agree with."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, child in items:
        yield (*path, key)
        yield from paths(child, (*path, key))


def test_every_key_of_every_form_is_found_on_its_line() -> None:
    assert lines(EVERYTHING) == EXPECTED
    assert set(EXPECTED) == set(paths(tomllib.loads(EVERYTHING)))


def test_lines_are_counted_alike_with_windows_line_ends() -> None:
    assert lines(EVERYTHING.replace("\n", "\r\n")) == EXPECTED


def test_a_header_that_comes_after_its_subtable_is_where_the_table_stands() -> None:
    assert lines("[a.b]\nx = 1\n[a]\ny = 1\n")["a",] == 3


@pytest.mark.parametrize(
    "text", ["", "\n", "# only a comment", "a=1", "[a]", "a = []", "a = {}", "a = [[], {}]"]
)
def test_small_texts_are_read_to_the_end(text: str) -> None:
    assert set(lines(text)) == set(paths(tomllib.loads(text)))


def test_after_an_unknown_form_of_toml_no_line_is_guessed() -> None:
    assert lines("[a]\nx = 1\n? = 2\ny = 3\n") == {("a",): 1, ("a", "x"): 2}


values = st.recursive(
    st.booleans() | st.integers(-9, 9) | st.text(max_size=8) | st.dates() | st.floats(allow_nan=False),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=12,
)
trees = st.dictionaries(st.text(max_size=4), values, max_size=4)


@given(trees, st.booleans())
def test_the_scanner_finds_what_tomllib_finds(tree: dict[str, Any], multiline: bool) -> None:
    text = tomli_w.dumps(tree, multiline_strings=multiline)

    assert set(lines(text)) == set(paths(tomllib.loads(text)))


@given(trees)
def test_each_key_stands_on_the_line_that_is_told(tree: dict[str, Any]) -> None:
    text = tomli_w.dumps(tree)
    rows = text.replace("\r\n", "\n").split("\n")
    for path, line in lines(text).items():
        if isinstance(path[-1], str) and path[-1].isascii() and path[-1].isalnum():
            assert path[-1] in rows[line - 1]
