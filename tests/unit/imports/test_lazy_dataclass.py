"""A lazy dataclass is one of the standard library's in all that a program can see."""

from __future__ import annotations

import copy
import dataclasses
import inspect
import pickle
from collections.abc import Callable
from dataclasses import FrozenInstanceError, field
from typing import Any, ClassVar, get_type_hints

import pytest
from hostler.imports.lazy_dataclass import dataclass as lazy_dataclass


def body() -> type[Any]:
    class Value:
        """A value with all that hostler's own have."""

        kind: ClassVar[str] = "value"

        name: str
        items: tuple[int, ...] = ()
        notes: list[str] = field(default_factory=list, compare=False, repr=False, kw_only=True)

        def __post_init__(self) -> None:
            if not self.name:
                raise ValueError("a name is needed")

    return Value


@lazy_dataclass(frozen=True, slots=True)
class Point:
    x: int
    y: list[int] = field(default_factory=list)


@lazy_dataclass(frozen=True, slots=True, kw_only=True)
class Named(Point):
    name: str = "p"


LAZY: Any = lazy_dataclass(frozen=True, slots=True)(body())
PLAIN: Any = dataclasses.dataclass(frozen=True, slots=True)(body())


def raised(act: Callable[[], object]) -> tuple[type[BaseException], str]:
    with pytest.raises(Exception) as caught:  # noqa: PT011 - which one is the question
        act()
    return caught.type, str(caught.value)


@pytest.mark.parametrize(
    "seen",
    [
        lambda cls: repr(cls("a", (1,), notes=["n"])),
        lambda cls: hash(cls("a", (1,))),
        lambda cls: cls("a", notes=["n"]) == cls("a"),
        lambda cls: cls("a") == cls("b"),
        lambda cls: cls("a").__eq__("a"),
        lambda cls: len({cls("a", (1,)), cls("a", (1,))}),
        lambda cls: str(inspect.signature(cls)),
        lambda cls: str(inspect.signature(cls.__init__)),
        lambda cls: get_type_hints(cls.__init__),
        lambda cls: cls.__init__.__qualname__,
        lambda cls: cls.__match_args__,
        lambda cls: cls.__slots__,
        lambda cls: [(one.name, one.type, one.kw_only, one.repr) for one in dataclasses.fields(cls)],
        lambda cls: dataclasses.asdict(cls("a", notes=["n"])),
        lambda cls: repr(dataclasses.replace(cls("a"), items=(2,))),
        lambda cls: repr(copy.deepcopy(cls("a", (1,)))),
        lambda cls: cls("a", notes=["n"]).__getstate__(),
        lambda cls: repr(cls.__dataclass_params__),
    ],
)
def test_it_shows_what_a_plain_one_shows(seen: Callable[[Any], object]) -> None:
    assert seen(LAZY) == seen(PLAIN)


@pytest.mark.parametrize(
    "wrong",
    [
        lambda cls: cls(),
        lambda cls: cls(""),
        lambda cls: cls("a", (), ["n"]),
        lambda cls: cls("a", nothing=1),
        lambda cls: setattr(cls("a"), "name", "b"),
        lambda cls: delattr(cls("a"), "name"),
        lambda cls: cls("a") < cls("b"),
        lambda cls: dataclasses.replace(cls("a"), nothing=1),
    ],
)
def test_it_refuses_what_a_plain_one_refuses(wrong: Callable[[Any], object]) -> None:
    assert raised(lambda: wrong(LAZY)) == raised(lambda: wrong(PLAIN))


def test_it_takes_no_attribute_that_is_no_field() -> None:
    with pytest.raises(FrozenInstanceError, match="cannot assign to field 'other'"):
        Point(1).other = 2  # type: ignore[attr-defined]


def test_it_is_matched_by_position() -> None:
    match Point(1, [2]):
        case Point(x, [y]):
            assert (x, y) == (1, 2)
        case _:
            pytest.fail("no match")


def test_it_is_pickled_with_the_fields_of_its_base() -> None:
    there_and_back = pickle.loads(pickle.dumps(Named(x=1, y=[2], name="q")))
    assert there_and_back == Named(x=1, y=[2], name="q")
    assert repr(there_and_back) == "Named(x=1, y=[2], name='q')"


def test_a_frozen_class_of_the_standard_library_can_extend_it() -> None:
    @dataclasses.dataclass(frozen=True)
    class Extended(Named):
        more: int = 0

    assert repr(Extended(1, more=3)).endswith("Extended(x=1, y=[], name='p', more=3)")
    assert Extended(1) != Named(1)
    with pytest.raises(TypeError, match="cannot inherit non-frozen dataclass from a frozen one"):
        dataclasses.dataclass(type("Open", (Named,), {}))


def test_a_plain_subclass_uses_its_methods() -> None:
    class Sub(LAZY):  # type: ignore[misc]
        def __init__(self, name: str) -> None:
            super().__init__(name, (1,))

    assert repr(Sub("a")).endswith("Sub(name='a', items=(1,))")


def test_what_a_class_defines_itself_stays() -> None:
    class Own:  # noqa: PLW1641 - the decorator gives it one
        x: int

        def __repr__(self) -> str:
            return "own"

        def __eq__(self, other: object) -> bool:
            return True

    made: Any = lazy_dataclass(frozen=True, slots=True)(Own)
    assert repr(made(1)) == "own"
    assert made(1) == made(2)
    assert hash(made(1)) == hash((1,))


def test_a_method_is_generated_when_it_is_first_used_and_only_then() -> None:
    made: Any = lazy_dataclass(frozen=True, slots=True)(body())
    value = made("a")
    assert inspect.isfunction(vars(made)["__init__"])
    assert not inspect.isfunction(vars(made)["__repr__"])
    assert repr(value)
    assert inspect.isfunction(vars(made)["__repr__"])
    assert not inspect.isfunction(vars(made)["__hash__"])
