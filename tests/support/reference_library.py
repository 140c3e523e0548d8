"""The page docs/reference/library.md: every public name of hostler, and all that it has."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Iterable, Mapping
from enum import Enum

import hostler
from reference_text import (
    MADE,
    all_members,
    block,
    fields_table,
    first_sentence,
    section,
    signature,
    text_of,
    value_text,
)

_FIRST = ("Supervisor", "Server", "serve", "BlockingSupervisor", "BlockingServer")
NAMES = frozenset(hostler.__all__) - {"__version__"}
_ON_HOOKS_PAGE = {
    "ServerView": "What a plugin sees of its server",
    "Launch": "The launch",
    "hookimpl": "",
    "hookspec": "",
}
_MEANINGS: Mapping[str, str] = {
    "MOVES": "The legal moves from each state.",
    "Report": "`Healthy` or `Unhealthy`.",
    "StreamName": '`"stdout"` or `"stderr"`.',
    "hookimpl": "Marks a method as an implementation of a hook.",
    "hookspec": "Marks the specification of a hook.",
}


def library_page() -> str:
    lines = ["# Library", "", MADE, "Everything that `from hostler import ...` gives.", ""]
    names = sorted(NAMES, key=str.casefold)
    lines += ["| name | meaning |", "|---|---|"]
    lines += [f"| [`{name}`]({link(name)}) | {meaning(name)} |" for name in names] + [""]
    here = [name for name in names if place_of(name) == ("library.md", name)]
    for name in (*_FIRST, *(name for name in here if name not in _FIRST)):
        lines += about(name)
    return "\n".join(lines).rstrip() + "\n"


def place_of(name: str) -> tuple[str, str]:
    """The page on which a name is explained, and the heading there; "" for a row of a table."""
    value = getattr(hostler, name)
    if name in _ON_HOOKS_PAGE:
        return "hooks.md", _ON_HOOKS_PAGE[name]
    if inspect.isclass(value) and issubclass(value, hostler.ServerError):
        return "errors.md", name if value.__dict__.get("__init__") else ""
    if name == "ErrorContext":
        return "errors.md", name
    if inspect.isclass(value) and issubclass(value, hostler.Event) and value is not hostler.Event:
        return "events.md", name
    return "library.md", name


def link(name: str) -> str:
    page, heading = place_of(name)
    anchor = f"#{heading.lower().replace(' ', '-')}" if heading else ""
    return anchor if page == "library.md" else page + anchor


def meaning(name: str) -> str:
    value = getattr(hostler, name)
    return _MEANINGS[name] if name in _MEANINGS else first_sentence(value)


def about(name: str) -> list[str]:
    """The section of one name: how it is made or called, what it means, and all that it has."""
    value = getattr(hostler, name)
    lines = [f"## {name}", ""]
    if not inspect.isclass(value):
        return [
            *lines,
            *(block([signature(value, name)]) if inspect.isroutine(value) else []),
            *_contract(name),
            "",
        ]
    lines += [*_constructor(value), *_contract(name), ""]
    if issubclass(value, Enum):
        lines += ["| member | value |", "|---|---|"]
        lines += [f"| `{name}.{one.name}` | `{value_text(one.value)}` |" for one in value] + [""]
    elif dataclasses.is_dataclass(value):
        lines += fields_table(value, defaults=True)
    if name.startswith("Blocking"):
        return [*lines, *_twins(value)]
    for member, (code, text) in all_members(value).items():
        lines += section(f"{name}.{member}", code, text)
    return lines


def _contract(name: str) -> Iterable[str]:
    return [_MEANINGS[name]] if name in _MEANINGS else text_of(getattr(hostler, name)).splitlines()


def _constructor(class_: type) -> list[str]:
    """How an object is made, where programs make one and its fields do not tell."""
    makes = class_.__dict__.get("__init__")
    made_by_hand = inspect.isfunction(makes) and not dataclasses.is_dataclass(class_)
    protocol = getattr(class_, "_is_protocol", False)
    if not made_by_hand or protocol or class_ in _MADE_BY_HOSTLER:
        return []
    return block([signature(class_, class_.__name__)])


_MADE_BY_HOSTLER = (
    hostler.Server,
    hostler.BlockingServer,
    hostler.BlockingSupervisor,
    hostler.ListenerContext,
)


def _twins(class_: type) -> list[str]:
    """The blocking ones have the same contracts: their signatures say what differs."""
    codes = [code.removeprefix("async ") for code, _ in all_members(class_).values()]
    return block(codes)
