"""The methods that frozen dataclasses share are those that would be generated."""

from __future__ import annotations

from dataclasses import dataclass, field

from hostler.model.plain_value import PlainValue


@dataclass(frozen=True, slots=True, repr=False, eq=False)
class Shared(PlainValue):
    name: str
    size: int = 0
    hidden: str = field(default="", repr=False)
    passing: str = field(default="", compare=False)


@dataclass(frozen=True, slots=True, repr=False, eq=False)
class Narrower(Shared):
    more: int = 1


@dataclass(frozen=True, slots=True)
class Generated:
    name: str
    size: int = 0
    hidden: str = field(default="", repr=False)
    passing: str = field(default="", compare=False)


def test_a_value_is_shown_compared_and_hashed_as_with_generated_methods() -> None:
    one, generated = Shared("a", 1, "h", "p"), Generated("a", 1, "h", "p")
    assert repr(one) == repr(generated).replace("Generated", "Shared")
    assert hash(one) == hash(generated)
    assert one == Shared("a", 1, "h", "another")
    assert one != Shared("a", 1, "another", "p")
    assert one != generated
    assert Shared("a") != Narrower("a")
