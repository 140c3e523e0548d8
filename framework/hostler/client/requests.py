"""What a call of the control API sends, and the type of what it is answered with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Generic, TypeVar, cast
from urllib.parse import urlencode

import msgspec

from hostler.client.errors import Unreachable, error_of, other_version

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Call(Generic[T]):
    """One request. `limit` are the seconds that it may take; None for those of the client."""

    method: str
    target: str
    answer: type[T]
    body: bytes = field(default=b"", repr=False)  # it may have values of variables
    limit: float | None = None

    @property
    def headers(self) -> dict[str, str]:
        """Those of its body."""
        return {"Content-Type": "application/json"} if self.body else {}

    def read(self, status: int, body: bytes, version: str) -> T:
        """The answer of this version in its type. Raises the error that it tells."""
        if self.answer is bool:
            return cast("T", status == 200)
        if status >= 400:
            raise error_of(status, body, version)
        try:
            return msgspec.json.decode(body or b"null", type=self.answer)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            text = f"it answered with something else than expected: {error}"
            raise Unreachable(text, hint=other_version(version)) from None


@dataclass(frozen=True, slots=True)
class Stream(Generic[T]):
    """A request whose answer has no end. `kinds` are the types of its events by name, "" of those of any.

    It begins behind the cursor `after`, else now where it `begins_now`.
    """

    path: str
    kinds: Mapping[str, type[T]]
    query: Mapping[str, object]
    after: str | None = None
    begins_now: bool = False

    def target(self, after: str | None) -> str:
        """The path and the query, to go on behind this cursor."""
        return target_of(self.path, {**self.query, "after": after})


@dataclass(frozen=True, slots=True)
class WholeLog:
    """A request for all lines that are there."""

    target: str


def target_of(path: str, query: Mapping[str, object]) -> str:
    """A path with what is given of a query."""
    given = {name: value for name, value in query.items() if value is not None}
    return f"{path}?{urlencode(given)}" if given else path
