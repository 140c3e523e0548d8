"""Public names as the pages in docs/reference show them: signatures, fields, contracts."""

from __future__ import annotations

import dataclasses
import inspect
import re
import typing
from collections.abc import Callable, Iterable, Iterator
from enum import Enum

MADE = "This page is made from the code by `python tests/support/reference_pages.py`.\n"
_WIDTH = 100


class _Bare:
    """A text that stands in a signature as it is."""

    def __init__(self, text: str) -> None:
        self._text = text

    def __repr__(self) -> str:
        return self._text


def text_of(thing: object) -> str:
    """The docstring, "" for what has none or one that Python wrote itself."""
    text = inspect.getdoc(thing) or ""
    return "" if inspect.isclass(thing) and text.startswith(f"{thing.__name__}(") else text


def first_sentence(thing: object) -> str:
    return text_of(thing).partition("\n")[0]


def type_text(annotation: object) -> str:
    text = annotation if isinstance(annotation, str) else inspect.formatannotation(annotation)
    return re.sub(r"\b(?:[a-z_]+\.)+(?=[A-Z])", "", text).replace("'", '"')


def value_text(value: object) -> str:
    """A default as a program would write it; `...` for one that is made anew each time."""
    if isinstance(value, Enum):
        return f"{type(value).__name__}.{value.name}"
    if dataclasses.is_dataclass(value) and not isinstance(value, type) and value == type(value)():
        return f"{type(value).__name__}()"
    text = repr(value)
    return "..." if text.startswith("<") else text.replace("'", '"')


def signature(function: Callable[..., object], name: str = "") -> str:
    """The call as it is written, without the modules of types and without `self`."""
    found = inspect.signature(function)
    arguments = [
        one.replace(
            annotation=one.annotation if one.annotation is one.empty else _Bare(type_text(one.annotation)),
            default=one.default if one.default is one.empty else _Bare(value_text(one.default)),
        )
        for one in found.parameters.values()
        if one.name not in {"self", "cls"}
    ]
    result = found.empty if inspect.isclass(function) else found.return_annotation
    shown = found.replace(
        parameters=arguments,
        return_annotation=result if result is found.empty else _Bare(type_text(result)),
    )
    return f"{name or getattr(function, '__name__', '')}{shown}"


def fields_table(class_: type, without: frozenset[str] = frozenset(), *, defaults: bool = False) -> list[str]:
    """The fields of a dataclass. A type with `|` is HTML: Markdown cannot write it in a table."""
    rows = []
    for one in dataclasses.fields(class_):
        if one.name in without or one.name.startswith("_"):
            continue
        default = f" {_code(_default(one))} |" if defaults else ""
        rows.append(f"| `{one.name}` | {_code(type_text(one.type))} |{default}")
    head = ["| field | type | default |", "|---|---|---|"] if defaults else ["| field | type |", "|---|---|"]
    return [*head, *rows, ""] if rows else []


def _default(field: dataclasses.Field[typing.Any]) -> str:
    if field.default is not dataclasses.MISSING:
        return value_text(field.default)
    made = field.default_factory
    return "" if made is dataclasses.MISSING else value_text(made()) if inspect.isclass(made) else "..."


def _code(text: str) -> str:
    if "|" in text:
        return f"<code>{text.replace('<', '&lt;').replace('|', '&#124;')}</code>"
    return f"`{text}`" if text else ""


def members(class_: type) -> Iterator[tuple[str, str, str]]:
    """Public properties and methods of a class itself: name, how it is written, its contract."""
    for name, value in vars(class_).items():
        if name.startswith("_"):
            continue
        if isinstance(value, property):
            yield name, f"{name}: {_type_of(value)}", text_of(value)
        elif isinstance(value, classmethod):
            yield name, f"@classmethod {signature(value.__func__)}", text_of(value.__func__)
        elif inspect.isfunction(value):
            prefix = "async " if inspect.iscoroutinefunction(value) else ""
            yield name, prefix + signature(value, name), text_of(value)


def _type_of(value: property) -> str:
    """The type of a property; one that has no function names its type as `Kind[type](...)`."""
    if value.fget is not None:
        return type_text(inspect.signature(value.fget).return_annotation)
    (kind,) = typing.get_args(vars(value)["__orig_class__"])
    return type_text(kind)


def all_members(class_: type) -> dict[str, tuple[str, str]]:
    """Those of a class and of hostler's classes above it: how each is written, and its contract."""
    found: dict[str, tuple[str, str]] = {}
    for one in reversed(class_.__mro__):
        if one.__module__.startswith("hostler"):
            found |= {name: (code, text) for name, code, text in members(one)}
    return found


def attributes(class_: type) -> list[str]:
    """The attributes that a class of no fields declares."""
    declared = vars(class_).get("__annotations__", {})
    return [f"{name}: {type_text(kind)}" for name, kind in declared.items() if not name.startswith("_")]


def block(codes: Iterable[str]) -> list[str]:
    lines = [line for code in codes for line in wrapped(code)]
    return ["```text", *lines, "```", ""] if lines else []


def section(title: str, code: str, text: str) -> list[str]:
    return [f"### {title}", "", *block([code]), text, ""]


def wrapped(code: str) -> list[str]:
    """A signature that is too long for one line, an argument a line."""
    if len(code) <= _WIDTH or "(" not in code:
        return [code]
    head, _, rest = code.partition("(")
    arguments, _, tail = rest.rpartition(")")
    return [f"{head}(", *(f"    {one}," for one in split_arguments(arguments)), f"){tail}"]


def split_arguments(text: str) -> list[str]:
    """Split at the commas that stand in no bracket."""
    parts, depth = [""], 0
    for letter in text:
        depth += (letter in "[(") - (letter in "])")
        if letter == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += letter
    return [part.strip() for part in parts]
