"""The table of the control API: which handler answers which method and path, with which types."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Literal, NamedTuple, TypeAlias
from urllib.parse import unquote

import msgspec

from hostler.control.problems import Refused
from hostler.control.shapes import LARGEST_PAGE
from hostler.control.tokens import Scope

_EXACT = 2.0**53  # from here on not every whole number is a float

Answer: TypeAlias = "tuple[int, Any]"
"""The status, and the value that becomes the body; None for no body."""


@dataclass(frozen=True, slots=True)
class Call:
    """One request, read and checked: the parts of its path, its query and its body in their types.

    `last_event` is the cursor at which a stream was interrupted that `streams` again,
    `accept` the header Accept.
    """

    parts: Mapping[str, str] = field(default_factory=dict)
    query: Any = None
    body: Any = None
    streams: bool = False
    last_event: str = ""
    accept: str = ""


class Text(NamedTuple):
    """An answer that is no JSON."""

    body: bytes
    content_type: str
    headers: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Route:
    """One row of the table. `statuses` are those of an answer that is no problem.

    `allowed`: who may ask over TCP, by the scope of the token; by default as the method has it. One that
    `has_room` is answered however many clients there are.

    `streams` says that it answers `Accept: text/event-stream`, too, and `lines` the same for
    `application/jsonl`. `texts` are the types of a Text.
    """

    method: str
    path: str
    handler: Callable[..., Awaitable[Any]]
    answer: type[Any] | None
    query: type[msgspec.Struct] | None = None
    body: type[msgspec.Struct] | None = None
    statuses: Sequence[int] = (200,)
    problems: Sequence[str] = ()
    allowed: Scope | Literal["everybody"] | None = None
    has_room: bool = False
    streams: bool = False
    lines: bool = False
    texts: Sequence[str] = ()

    @property
    def scope(self) -> Scope | None:
        """What a request needs to be allowed; None for nothing."""
        if self.allowed is None:
            return "read" if self.method == "GET" else "operate"
        return None if self.allowed == "everybody" else self.allowed

    @property
    def summary(self) -> str:
        """What it does: the first line of what its handler says of itself."""
        return (self.handler.__doc__ or "").strip().partition("\n")[0]


def find(routes: Sequence[Route], method: str, path: str) -> tuple[Route, dict[str, str]]:
    """The route of a request, and the parts of its path. Raises Refused: `unsupported`, or `method`."""
    words = path.split("/")
    found = [(route, parts) for route in routes if (parts := _match(route.path, words)) is not None]
    for route, parts in found:
        if route.method == method:
            return route, parts
    if found:
        allowed = ", ".join(sorted({route.method for route, _ in found}))
        raise Refused("method", f"{path[:200]} takes {allowed}, not {method}", allowed=allowed)
    raise Refused("unsupported", f"there is no {path[:200]} in this version of hostler")


def read_query(route: Route, query: Mapping[str, Sequence[str]]) -> Any:
    """The query in its type. Raises Refused for a name that is unknown or given twice, or a wrong value."""
    if twice := [name for name, values in query.items() if len(values) > 1]:
        raise Refused("invalid_request", f"the query has {twice[0]!r} more than once")
    given = {name: values[0] for name, values in query.items()}
    if route.query is None:
        if given:
            raise Refused("invalid_request", f"{route.path} takes no query, found {next(iter(given))!r}")
        return None
    found = _convert(given, route.query, strict=False, what="query")
    limit = getattr(found, "limit", 1)
    if not 1 <= limit <= LARGEST_PAGE:
        raise Refused("invalid_request", f"query: limit is 1 to {LARGEST_PAGE}, found {limit}")
    return found


def read_body(route: Route, data: bytes) -> Any:
    """The body in its type; an empty one stands for {}. Raises Refused for what is no such JSON."""
    if route.body is None:
        if data:
            raise Refused("invalid_request", f"{route.path} takes no body")
        return None
    try:
        value = msgspec.json.Decoder(float_hook=_number).decode(data or b"{}")
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Refused("invalid_request", f"the body is no JSON: {error}") from None
    return _convert(value, route.body, strict=True, what="body")


def _number(text: str) -> float:
    """A number of JSON, in which 3.0 is 3: some languages write whole numbers so."""
    value = float(text)
    return int(value) if value.is_integer() and abs(value) < _EXACT else value


def _convert(value: object, kind: type[Any], *, strict: bool, what: str) -> Any:
    try:
        return msgspec.convert(value, kind, strict=strict)
    except msgspec.ValidationError as error:
        raise Refused("invalid_request", f"{what}: {error}") from None


def _match(pattern: str, words: Sequence[str]) -> dict[str, str] | None:
    wanted = pattern.split("/")
    if len(wanted) != len(words):
        return None
    parts: dict[str, str] = {}
    for want, word in zip(wanted, words, strict=True):
        if want.startswith("{"):
            parts[want.strip("{}")] = unquote(word, errors="replace")
        elif want != word:
            return None
    return parts
