"""Frozen dataclasses that are cheap to import: a method is generated when it is first used.

hostler has a hundred of them, and a command uses few of their methods: to generate them all would take a
fifth of its start.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable
from dataclasses import FrozenInstanceError, fields
from typing import TYPE_CHECKING, Any


def _lazy_dataclass(*, frozen: bool = False, **options: bool) -> Callable[[type[Any]], type[Any]]:
    """Decorate as `dataclasses.dataclass` does; what is frozen gets its methods late."""
    if not frozen:
        return dataclasses.dataclass(**options)

    def make(cls: type[Any]) -> type[Any]:
        # A class and its base have to be both frozen, or neither.
        below = any(map(dataclasses.is_dataclass, cls.__bases__))
        made = dataclasses.dataclass(init=False, repr=False, eq=False, frozen=below, **options)(cls)

        for option in ("init", "repr", "eq", "frozen"):
            setattr(made.__dataclass_params__, option, True)

        for name, method in ({name: _Method(made, name) for name in _GENERATED} | _SHARED).items():
            # Beside an `__eq__` Python has put None in the place of a hash.
            if vars(made).get(name) is None:
                setattr(made, name, method)

        return made

    return make


if TYPE_CHECKING:
    # Type checkers know what it does, and `dataclasses.replace` with it, by its own name only.
    from dataclasses import dataclass as dataclass  # noqa: PLC0414 - given on
else:
    dataclass = _lazy_dataclass


class _Method:
    """Stands for a method until it is first looked up."""

    def __init__(self, cls: type[Any], name: str) -> None:
        self._cls, self._name = cls, name

    def __get__(self, instance: object, owner: type | None = None) -> Any:
        method = _generate(self._cls, self._name)
        setattr(self._cls, self._name, method)
        return method.__get__(instance, owner)


def _generate(cls: type[Any], name: str) -> Any:
    """One method as the standard library generates it, for a class with the same fields."""
    body: dict[str, Any] = {one.name: one for one in fields(cls)}
    body["__annotations__"] = {one.name: one.type for one in fields(cls)}
    body |= {
        key: getattr(cls, key) for key in ("__module__", "__qualname__", "__post_init__") if hasattr(cls, key)
    }
    same: type[Any] = dataclasses.dataclass(
        init=name == "__init__",
        repr=name == "__repr__",
        eq=name == "__eq__",
        unsafe_hash=name == "__hash__",
        frozen=name == "__init__",
        slots=True,
    )(type(cls.__name__, (), body))
    return vars(same)[name]


# -- the same for all classes ----------------------------------------------------------------------


def _refuse_assignment(self: object, name: str, value: object) -> None:
    raise FrozenInstanceError(f"cannot assign to field {name!r}")


def _refuse_deletion(self: object, name: str) -> None:
    raise FrozenInstanceError(f"cannot delete field {name!r}")


def _state(self: Any) -> list[object]:
    return [getattr(self, one.name) for one in fields(self)]


def _restore(self: Any, state: Iterable[object]) -> None:
    for one, value in zip(fields(self), state, strict=True):
        object.__setattr__(self, one.name, value)


_GENERATED = ("__init__", "__repr__", "__eq__", "__hash__")
_SHARED = {
    "__setattr__": _refuse_assignment,
    "__delattr__": _refuse_deletion,
    "__getstate__": _state,
    "__setstate__": _restore,
}
