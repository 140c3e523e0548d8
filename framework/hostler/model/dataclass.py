"""`@dataclass` of the standard library, with methods that are generated when they are first used.

To generate them takes most of what a dataclass costs; every command imports a hundred, and makes few.
`InitVar` and `field(hash=...)` are refused with TypeError; a value that holds itself cannot be shown.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import MISSING, Field, FrozenInstanceError, fields
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any

Method = Callable[..., Any]
_INIT_VAR = dataclasses._FIELD_INITVAR  # type: ignore[attr-defined]  # noqa: SLF001 - nothing public tells


def field_names(value: object) -> tuple[str, ...]:
    """The names of the fields of a dataclass, in order."""
    kind: Any = type(value)
    return _names(kind)


@lru_cache(maxsize=256)  # each event asks several times, and `fields` looks at every field each time
def _names(kind: Any) -> tuple[str, ...]:
    return tuple(one.name for one in fields(kind))


class _Factory:
    """In a signature: the default is made by a factory."""

    def __repr__(self) -> str:
        return "<factory>"


class _Ungenerated:
    """In a class: a method that nobody has asked for yet."""

    def __init__(self, kind: type, name: str, generate: Callable[[Any], Method]) -> None:
        self._kind, self._name, self._generate = kind, name, generate

    def __get__(self, value: object, kind: type | None = None) -> Method:
        method = self._generate(self._kind)
        setattr(self._kind, self._name, method)
        return method if value is None else partial(method, value)


def _init(kind: Any) -> Method:
    names: dict[str, Any] = {"set_field": object.__setattr__, "FACTORY": _Factory()}
    set_ = "set_field(self, {!r}, {})" if kind.__dataclass_params__.frozen else "self.{} = {}"
    words: dict[bool, list[str]] = {False: ["self"], True: []}  # by position, by keyword only
    lines = []
    for one in fields(kind):
        word, value = _parameter(one, names)
        if one.init:
            words[one.kw_only is True].append(word)
        if value:
            lines.append(set_.format(one.name, value))
    lines.append("self.__post_init__()" if hasattr(kind, "__post_init__") else "pass")
    ordered = [*words[False], *["*"][: len(words[True])], *words[True]]
    method = _compiled(kind, "__init__", ordered, lines, names)
    method.__annotations__ = {one.name: one.type for one in fields(kind) if one.init} | {"return": None}
    return method


def _parameter(one: Field[Any], names: dict[str, Any]) -> tuple[str, str]:
    """A field as a parameter, and the value that it is set to; what they refer to goes to `names`."""
    name = one.name
    if one.default_factory is not MISSING:
        names[f"make_{name}"] = one.default_factory
        return f"{name}=FACTORY", f"make_{name}()" + f" if {name} is FACTORY else {name}" * one.init
    if one.default is not MISSING:
        names[f"default_{name}"] = one.default
        return f"{name}=default_{name}", name if one.init else f"default_{name}"
    return name, name * one.init


def _repr(kind: Any) -> Method:
    shown = ", ".join(f"{one.name}={{self.{one.name}!r}}" for one in fields(kind) if one.repr)
    return _compiled(kind, "__repr__", ["self"], [f'return f"{{type(self).__qualname__}}({shown})"'])


def _eq(kind: Any) -> Method:
    same = f"{_compared(kind, 'self')} == {_compared(kind, 'other')}"
    line = f"return {same} if type(other) is type(self) else NotImplemented"
    return _compiled(kind, "__eq__", ["self", "other"], [line])


def _hash(kind: Any) -> Method:
    return _compiled(kind, "__hash__", ["self"], [f"return hash({_compared(kind, 'self')})"])


def _compared(kind: Any, value: str) -> str:
    return "(" + "".join(f"{value}.{one.name}, " for one in fields(kind) if one.compare) + ")"


def _compiled(
    kind: type, name: str, words: Iterable[str], lines: Iterable[str], names: dict[str, Any] | None = None
) -> Method:
    made = names or {}
    text = f"def {name}({', '.join(words)}):\n " + "\n ".join(lines)
    exec(text, made)  # noqa: S102 - of the names of fields alone, as the standard library does it
    method: Method = made.pop(name)
    method.__qualname__, method.__module__ = f"{kind.__qualname__}.{name}", kind.__module__
    return method


def _refuse(self: Any, name: str, *value: object) -> None:
    """Stand for `__setattr__` and `__delattr__` of a frozen class."""
    # A subclass that is no dataclass itself has attributes of its own, as with the standard library.
    if "__dataclass_params__" in vars(type(self)) or name in field_names(self):
        raise FrozenInstanceError(f"cannot {'assign to' if value else 'delete'} field {name!r}")
    (object.__setattr__ if value else object.__delattr__)(self, name, *value)


def _state(self: Any) -> list[object]:
    return [getattr(self, name) for name in field_names(self)]


def _restore(self: Any, state: list[object]) -> None:
    for name, value in zip(field_names(self), state, strict=True):
        object.__setattr__(self, name, value)


def _dataclass(kind: Any = None, /, *, frozen: bool = False, **options: bool) -> Any:
    if kind is None:
        return partial(_dataclass, frozen=frozen, **options)
    kind.__doc__ = kind.__doc__ or kind.__name__  # or one would be made of the signature
    wanted = {"repr": True, "eq": True} | options
    own = vars(kind)
    params = [one.__dataclass_params__ for one in kind.__mro__[1:] if "__dataclass_params__" in vars(one)]
    frozen_bases = [one for one in params if one.frozen]
    # It generates the methods of a frozen class in any case, and refuses to mix such classes with others.
    _mark(frozen_bases, frozen=False)
    made = dataclasses.dataclass(**wanted | {"init": False, "repr": False, "eq": False})(kind)
    _mark([*frozen_bases, *([made.__dataclass_params__] if frozen else [])], frozen=True)
    _refuse_unknown(made)
    for name, method in _methods(made, wanted, frozen=frozen):
        if name not in own:
            setattr(made, name, method)
    return made


def _refuse_unknown(kind: Any) -> None:
    """Raise TypeError for what the methods that are generated here would ignore."""
    for one in kind.__dataclass_fields__.values():
        if one.hash is not None or one._field_type is _INIT_VAR:  # noqa: SLF001
            what = "InitVar" if one.hash is None else "field(hash=...)"
            raise TypeError(f"{kind.__qualname__}.{one.name}: {what} needs the standard library's dataclass")


def _mark(params: Iterable[Any], *, frozen: bool) -> None:
    for one in params:
        setattr(one, "frozen", frozen)  # noqa: B010 - an object of the standard library


def _methods(kind: type, wanted: Mapping[str, bool], *, frozen: bool) -> Iterator[tuple[str, Any]]:
    ways = {"__init__": _init}
    if wanted["repr"]:
        ways["__repr__"] = _repr
    if wanted["eq"]:
        ways |= {"__eq__": _eq, "__hash__": _hash} if frozen else {"__eq__": _eq}
    yield from ((name, _Ungenerated(kind, name, way)) for name, way in ways.items())
    if wanted["eq"] and not frozen:
        yield "__hash__", None
    if frozen:
        yield from (("__setattr__", _refuse), ("__delattr__", _refuse))
        yield from (("__getstate__", _state), ("__setstate__", _restore))


if TYPE_CHECKING:
    from dataclasses import dataclass as dataclass  # noqa: PLC0414 - for type checkers it is that one
else:
    dataclass = _dataclass
