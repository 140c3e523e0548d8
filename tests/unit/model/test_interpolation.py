import time

import pytest
from hostler.model.interpolation import (
    InterpolationError,
    MalformedReference,
    TemplateText,
    UndefinedName,
    escape,
    expand,
    names,
)
from hypothesis import given
from hypothesis import strategies as st

VALUES = {"HOME": "/home/ada", "EMPTY": "", "TRICKY": "${HOME} $$ $", "server.host": "127.0.0.1"}
LATER = "server.port".__eq__


def nothing(_: str) -> None:
    """A lookup that knows no name."""


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("plain", "plain"),
        ("${HOME}/app", "/home/ada/app"),
        ("${HOME}${HOME}", "/home/ada/home/ada"),
        ("${server.host}:80", "127.0.0.1:80"),
        ("${MISSING:-~/code}", "~/code"),
        ("${MISSING:-}", ""),
        ("${MISSING:-a:-b}", "a:-b"),
        ("${HOME:-unused}", "/home/ada"),
        ("${EMPTY:-taken when empty}", "taken when empty"),
        ("[${EMPTY}]", "[]"),
        ("$$", "$"),
        ("$$$$", "$$"),
        ("$${HOME}", "${HOME}"),
        ("$$${HOME}", "$/home/ada"),
        ("${MISSING:-$$5}", "$5"),
        ("$", "$"),
        ("^a$", "^a$"),
        ("$HOME costs $5", "$HOME costs $5"),
    ],
)
def test_references_are_filled_in_once(text: str, expected: str) -> None:
    assert expand(text, VALUES.get) == expected


def test_a_value_is_never_filled_in_again() -> None:
    assert expand("<${TRICKY}>", VALUES.get) == "<${HOME} $$ $>"


@pytest.mark.parametrize(
    "text",
    [
        "${",
        "${}",
        "${HOME",
        "a ${HO ME}",
        "${1A}",
        "${a.}",
        "${.a}",
        "${A:-${B}}",
        "${A:-{}}",
        "${A-b}",
        "${Ä}",
    ],
)
def test_a_malformed_reference_is_refused_with_its_position(text: str) -> None:
    with pytest.raises(MalformedReference) as caught:
        expand(text, lambda _: "value")
    assert caught.value.position == text.index("${")
    with pytest.raises(MalformedReference):
        names(text)


def test_an_undefined_name_is_told_with_its_position() -> None:
    with pytest.raises(UndefinedName, match=r"^\$\{MISSING\} is not defined$") as caught:
        expand("$$ ${MISSING}", VALUES.get)
    assert (caught.value.name, caught.value.position) == ("MISSING", 3)


def test_kept_names_are_left_for_a_second_pass() -> None:
    assert expand("${HOME}:${server.port}", VALUES.get, keep=LATER) == "/home/ada:${server.port}"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("$${server.port} is ${server.port}", "${server.port} is 80"),
        ("$$$${server.port}", "$${server.port}"),
        ("$$${server.port}", "$80"),
        ("${TRICKY}{HOME}", "${HOME} $$ ${HOME}"),
        ("${TRICKY}${server.port}", "${HOME} $$ $80"),
        ("${MISSING:-$$}{HOME}", "${HOME}"),
        ("^$", "^$"),
    ],
)
def test_two_passes_give_what_one_would(text: str, expected: str) -> None:
    template = expand(text, VALUES.get, keep=LATER)

    assert expand(template, {"server.port": "80"}.get) == expected
    assert expand(text, (VALUES | {"server.port": "80"}).get) == expected


@given(
    st.lists(st.sampled_from(["$", "$$", "{", "}", "${A}", "${server.port}", "${B:-x$}", "a", ":-"])).map(
        "".join
    ),
    st.text(alphabet="${}Aa", max_size=6),
)
def test_two_passes_and_one_agree_on_any_text_and_value(text: str, value: str) -> None:
    early, late = {"A": value}, {"server.port": "80"}
    try:
        at_once = expand(text, (early | late).get)
    except InterpolationError:
        with pytest.raises(InterpolationError):
            expand(text, early.get, keep=LATER)
        return
    assert expand(expand(text, early.get, keep=LATER), late.get) == at_once


@given(st.text())
def test_an_escaped_text_comes_back_as_it_was(text: str) -> None:
    assert expand(escape(text), nothing) == text
    assert expand(expand(escape(text), nothing, keep=LATER), nothing) == text


@given(st.text(alphabet="$a{}"))
def test_a_template_without_early_names_is_not_changed_by_the_first_pass(text: str) -> None:
    try:
        referred = names(text)
    except MalformedReference:
        return
    if not referred:
        assert expand(text, nothing, keep=LATER) == text


def test_the_names_of_a_text_are_listed_in_order() -> None:
    assert names("${B} $${C} ${A:-x} ${server.port} $ ${B}") == ["B", "A", "server.port", "B"]


@pytest.mark.parametrize(
    "text", ["${" * 50_000, "${A:-" * 50_000, "${A" + ".a" * 100_000, "$" * 100_001 + "{"]
)
def test_hostile_texts_take_no_time(text: str) -> None:
    begin = time.monotonic()
    with pytest.raises(MalformedReference):
        expand(text, nothing)
    assert time.monotonic() - begin < 2


pieces = ["$", "$$", "{", "}", "a", "{HOME}", "${HOME}", "${HOME:-x}"]
templates = st.lists(st.sampled_from(pieces), max_size=6).map("".join)
with_parameter = st.lists(
    st.sampled_from([*pieces, "${parameter.x}", "${parameter.x:-d$$}"]), max_size=6
).map("".join)


@given(with_parameter, templates)
def test_a_text_put_in_before_is_the_same_as_its_value_filled_in(text: str, value: str) -> None:
    """What is put in neither begins a reference with what follows it nor ends one that stands before it."""
    try:
        filled = expand(value, VALUES.get)
        expected = expand(text, lambda name: filled if name == "parameter.x" else VALUES.get(name))
    except InterpolationError:
        return
    put_in = expand(text, lambda _: TemplateText(value), keep="parameter.x".__ne__)
    assert expand(put_in, VALUES.get) == expected


def test_what_is_kept_stays_as_it_is() -> None:
    assert expand("${A} ${A:-b} $$ $ $${", nothing, keep=lambda _: True) == "${A} ${A:-b} $$ $ $${"
