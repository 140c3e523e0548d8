"""A dataclass whose methods are generated late is one of the standard library in all that can be seen."""

from __future__ import annotations

import copy
import dataclasses
import inspect
import pickle
from collections.abc import Callable
from dataclasses import FrozenInstanceError, InitVar, field, fields, replace
from typing import Any, ClassVar

import pytest
from hostler.model.dataclass import dataclass


@dataclass(frozen=True, slots=True)
class Late:
    kind: ClassVar[str] = "late"
    name: str
    size: int = 0
    hidden: str = field(default="", repr=False)
    passing: str = field(default="", compare=False)
    parts: tuple[int, ...] = field(default_factory=tuple, kw_only=True)
    first: str = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "first", self.name[:1])


@dataclass(frozen=True, slots=True)
class Narrower(Late):
    more: int = 1


@dataclasses.dataclass(frozen=True, slots=True)
class AtOnce:
    kind: ClassVar[str] = "late"
    name: str
    size: int = 0
    hidden: str = field(default="", repr=False)
    passing: str = field(default="", compare=False)
    parts: tuple[int, ...] = field(default_factory=tuple, kw_only=True)
    first: str = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "first", self.name[:1])


@dataclass(slots=True)
class Edited:
    name: str
    sizes: list[int] = field(default_factory=list)
    seen: int = field(default=3, init=False)
    made: dict[str, int] = field(default_factory=dict, init=False)


def test_it_is_called_shown_compared_and_hashed_as_one_of_the_standard_library() -> None:
    assert str(inspect.signature(Late)) == str(inspect.signature(AtOnce))
    one = Late("a", 1, "h", "p", parts=(1,))
    other: object = AtOnce("a", 1, "h", "p", parts=(1,))
    assert repr(one) == repr(other).replace("AtOnce", "Late")
    assert hash(one) == hash(other)
    assert one == Late("a", 1, "h", "another", parts=(1,))
    assert one != Late("a", 1, "another", "p", parts=(1,))
    assert one != other
    assert Late("a") != Narrower("a")
    assert Narrower("a", more=2).more == 2
    assert Late.__match_args__ == AtOnce.__match_args__
    assert [one.name for one in fields(Late)] == [one.name for one in fields(AtOnce)]


@pytest.mark.parametrize("change", [lambda one: setattr(one, "name", "b"), lambda one: delattr(one, "name")])
def test_a_frozen_one_refuses_changes_and_can_be_copied(change: Callable[[Any], None]) -> None:
    one = Late("a", parts=(1, 2))
    with pytest.raises(FrozenInstanceError, match="field 'name'"):
        change(one)
    assert one == copy.copy(one) == pickle.loads(pickle.dumps(one)) == replace(one, name="a")


def test_one_that_is_not_frozen_has_factories_of_its_own_and_no_hash() -> None:
    one, other = Edited("a"), Edited("a")
    one.sizes.append(1)
    one.made["a"] = 1
    assert (other.sizes, other.seen, other.made) == ([], 3, {})
    assert one != other
    assert Edited.__hash__ is None
    with pytest.raises(TypeError, match="unhashable"):
        hash(one)


def test_a_class_of_somebody_else_extends_it() -> None:
    @dataclasses.dataclass(frozen=True)
    class Theirs(Late):
        own: str = "o"

    class Plain(Late):
        def __init__(self) -> None:
            super().__init__("plain")
            self.seen = 1
            del self.seen

    assert repr(Theirs("a")).endswith("own='o')")
    assert Plain().name == "plain"
    with pytest.raises(FrozenInstanceError):
        Plain().size = 2  # type: ignore[misc]
    with pytest.raises(TypeError, match="cannot inherit non-frozen"):
        dataclasses.dataclass(type("Wrong", (Late,), {}))


def test_what_it_would_ignore_is_refused() -> None:
    def with_init_var() -> object:
        @dataclass(frozen=True)
        class Wrong:
            child: InitVar[int]

        return Wrong

    def with_hash() -> object:
        @dataclass(frozen=True)
        class Wrong:
            name: str = field(hash=False)

        return Wrong

    with pytest.raises(TypeError, match="Wrong.child: InitVar"):
        with_init_var()
    with pytest.raises(TypeError, match="Wrong.name: field"):
        with_hash()
