"""`${...}` in the strings of a configuration: found, filled in once, never run and never filled in again."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Literal, TypeAlias, cast

from msgspec import Struct

from hostler.errors import EnvironmentSetupFailed
from hostler.model.values import Endpoint

# Names of servers may hold a `-`, so what follows the first dot may too; `:-` begins the default.
# The alternatives exclude each other by their first characters, so a text is read once, whatever it holds.
_REFERENCE = re.compile(
    r"\$(?:(?P<escape>\$)|\{(?P<name>[A-Z_][A-Z0-9_]*(?:\.[A-Z0-9_-]+)*)(?::-(?P<default>[^{}]*))?\}|(?P<broken>\{))",
    re.ASCII | re.IGNORECASE,
)


class InterpolationError(ValueError):
    """The base of what can be wrong with a `${...}`; `position` counts characters from 0."""

    def __init__(self, message: str, position: int) -> None:
        super().__init__(message)
        self.position = position


class UndefinedName(InterpolationError):
    """Raised when a name has neither a value nor a default; `name` stands without `${` and `}`."""

    def __init__(self, name: str, position: int) -> None:
        super().__init__(f"${{{name}}} is not defined", position)
        self.name = name


class MalformedReference(InterpolationError):
    """Raised when a `${` is not closed, names nothing, or has braces in its default."""

    def __init__(self, position: int) -> None:
        message = "a ${ that is not ${NAME} or ${NAME:-default}; a plain ${ is written $${"
        super().__init__(message, position)


class TemplateText(str):
    """A text that is put in as a template itself: what it refers to is filled in later, once."""

    __slots__ = ()


def expand(
    text: str, lookup: Callable[[str], str | None], *, keep: Callable[[str], bool] | None = None
) -> str:
    """Fill in every `${NAME}` and `${NAME:-default}` once; `$$` gives `$`, a lone `$` stays.

    The default is taken where `lookup` gives None or "". Names that `keep` accepts are left for a second
    `expand`: the result is then again a template, in which `$$` stays and inserted values are escaped,
    but for a TemplateText. Raises UndefinedName and MalformedReference.
    """

    def replacement(found: re.Match[str]) -> str:
        if found["escape"]:
            return "$$" if keep else "$"
        if found["broken"]:
            raise MalformedReference(found.start())
        # It is filled in by the second pass, with the default that stands beside it.
        if keep and keep(found["name"]):
            return found[0]
        value = _value(found, lookup)
        return _in_template(value) if keep else value

    return _REFERENCE.sub(replacement, text)


def escape(text: str) -> str:
    """Write a text so that `expand` gives it back as it is."""
    return text.replace("$", "$$")


def _in_template(value: str) -> str:
    if not isinstance(value, TemplateText):
        return escape(value)
    # An odd `$` at its end would begin a reference with whatever follows, such as a `{`.
    last = len(value) - len(value.rstrip("$"))
    return value + "$" * (last % 2)


def strings(value: object) -> Iterator[str]:
    """Every string in a value; tables and lists with all that is in them."""
    match value:
        case str():
            yield value
        case Mapping():
            for item in value.values():
                yield from strings(item)
        case list() | tuple():
            for item in value:
                yield from strings(item)


def expand_all(value: object, fill: Callable[[str], str]) -> object:
    """The same value with `fill` called on every string in it."""
    match value:
        case str():
            return fill(value)
        case Mapping():
            return {key: expand_all(item, fill) for key, item in value.items()}
        case list() | tuple():
            return [expand_all(item, fill) for item in value]
        case _:
            return value


def defaults(text: str) -> list[tuple[str, str]]:
    """List the names that have a default in a text, each with it as it is written."""
    return [(found["name"], found["default"]) for found in _REFERENCE.finditer(text) if found["default"]]


def names(text: str) -> list[str]:
    """List the names that a text refers to, in order. Raises MalformedReference."""
    listed = []
    for found in _REFERENCE.finditer(text):
        if found["broken"]:
            raise MalformedReference(found.start())
        if found["name"]:
            listed.append(found["name"])
    return listed


def _value(found: re.Match[str], lookup: Callable[[str], str | None]) -> str:
    value = lookup(found["name"])
    if not value and found["default"] is not None:
        return found["default"].replace("$$", "$")
    if value is None:
        raise UndefinedName(found["name"], found.start())
    return value


# -- references to other servers -------------------------------------------------------------------

Part: TypeAlias = Literal["port", "host", "url"]
PARTS: tuple[Part, ...] = ("port", "host", "url")

_FORM = rf"(?a)servers\.(?P<server>[A-Za-z0-9_-]+)\.(?P<part>{'|'.join(PARTS)})"


class Reference(Struct, frozen=True):
    """One `${servers.NAME.PART}`."""

    server: str
    part: Part

    @classmethod
    def parse(cls, name: str) -> Reference | None:
        """Read the name between the braces; None where it means something else."""
        found = re.fullmatch(_FORM, name)
        return None if found is None else cls(found["server"], cast("Part", found["part"]))

    def value(self, endpoints: Mapping[str, Endpoint | None]) -> str | None:
        """The value, given where the needed servers listen; None for a server that is not among them.

        Raises EnvironmentSetupFailed when that server has no address.
        """
        if self.server not in endpoints:
            return None

        endpoint = endpoints[self.server]
        if endpoint is None:
            raise EnvironmentSetupFailed(
                f"${{servers.{self.server}.{self.part}}} is not known: {self.server} has no address",
                hint=f"{self.server} needs a port, and has to be ready before this server starts",
            )

        return {"port": str(endpoint.port), "host": endpoint.reachable_host, "url": endpoint.url}[self.part]


def references_in(text: str) -> list[Reference]:
    """The references to other servers in a text, in order; none in one that is malformed."""
    try:
        found = [Reference.parse(name) for name in names(text)]
    except MalformedReference:  # reported where the text is filled in
        return []
    return [one for one in found if one is not None]
