"""How secret values are masked wherever hostler writes."""

from __future__ import annotations

import importlib
import re
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, AnyStr, TypeAlias

from hostler.secrets.credentials import MASK, MINIMUM, secret_parts
from hostler.text.encodings import spellings

_MASK = MASK.encode()
_SHORTEST = 3  # a secret of one or two characters keeps nobody out
_WORD = re.compile(r"[A-Za-z0-9]+")
Groups: TypeAlias = tuple[tuple[AnyStr, tuple[AnyStr, ...]], ...]
Spans: TypeAlias = list[tuple[int, int]]
Find: TypeAlias = Callable[[AnyStr, AnyStr], int]
"""Where the second stands in the first, -1 where it does not."""


@dataclass(frozen=True, slots=True)
class _Known:
    """All secrets of one moment, longest first, once as text and once as bytes."""

    # Frozen, so that threads may read it without a lock. The groups: a word that stands in all spellings of a
    # secret leads to them, and one look for it tells that none of them is there.

    text: tuple[str, ...] = ()
    data: tuple[bytes, ...] = ()
    text_groups: Groups[str] = ()
    data_groups: Groups[bytes] = ()

    def with_parts(self, parts: Iterable[str]) -> _Known:
        """These secrets and more, each in all its spellings."""
        groups = [(_longest_word(part), tuple({*spellings(part)})) for part in parts]
        spelt = (spelling for _, spellings_of in groups for spelling in spellings_of)
        text = tuple(sorted({*self.text, *spelt}, key=len, reverse=True))
        encoded = ((_encoded(word), tuple(map(_encoded, spelt))) for word, spelt in groups)
        return _Known(
            text, tuple(map(_encoded, text)), (*self.text_groups, *groups), (*self.data_groups, *encoded)
        )


def _longest_word(text: str) -> str:
    return max(_WORD.findall(text), key=len, default="")


def _encoded(text: str) -> bytes:
    return text.encode(errors="surrogateescape")


class Masker:
    """Knows the secrets of one server and replaces them. Safe to use from any thread."""

    def __init__(self, values: Iterable[str] = ()) -> None:
        self._lock = threading.Lock()
        self._known = _Known()
        self._values: set[str] = set()
        self._short: set[str] = set()  # not masked, but to be told to nobody else
        for value in values:
            self.register(value)

    def register(self, value: str) -> None:
        """Mask `value` in all that comes from now on; what `secret_parts` leaves out is ignored.

        Each of its parts is masked in all its spellings.
        """
        if value in self._values:
            return
        with self._lock:
            self._values.add(value)
            parts = {*secret_parts(value)}
            self._short |= set() if parts or len(value) < _SHORTEST else {value}
            self._known = self._known.with_parts(parts)

    @property
    def secrets(self) -> tuple[bytes, ...]:
        """All secrets as bytes, longest first."""
        return self._known.data

    def text(self, text: str) -> str:
        """Return `text` with every secret replaced by "********"; overlapping ones become one mask.

        So is the beginning of a secret at its end: somebody may have cut it off there.
        """
        masked = _masked(text, self._known.text_groups, MASK, str.find)
        whole = masked.removesuffix("...")
        begun = _beginning_at_the_end(whole, self._known.text)
        return masked if begun < MINIMUM else f"{whole[:-begun]}{MASK}{masked[len(whole) :]}"

    def nested(self, value: Any) -> Any:
        """Return a value with every text in it masked; an object that shows a secret becomes its text."""
        match value:
            case str():
                return self.text(value)
            case None | bool() | int() | float():
                return value
            case Mapping():
                return {self.nested(key): self.nested(item) for key, item in value.items()}
            case list() | tuple() | set() | frozenset():
                return type(value)([self.nested(item) for item in value])
            case _:
                text = str(value)
                return self.text(text) if self.found_in(text) else value

    def data(self, data: bytes) -> bytes:
        """Return `data` with every secret replaced by "********"; overlapping ones become one mask."""
        return _masked(data, self._known.data_groups, _MASK, find_in_bytes())

    def spans(self, data: bytes) -> Spans:
        """Where secrets stand in `data`: begin and end of each, in order, overlapping ones joined."""
        return _spans(data, self._known.data_groups, find_in_bytes())

    def found_in(self, text: str) -> bool:
        """Tell whether any secret stands in `text`."""
        return bool(_spans(text, self._known.text_groups, str.find))

    def knows(self, text: str) -> bool:
        """Tell whether a secret stands in `text`, also one that is not masked, which is a word then."""
        with self._lock:
            short = "|".join(map(re.escape, self._short))
        words = rf"(?<![A-Za-z0-9])(?:{short})(?![A-Za-z0-9])"
        return self.text(text) != text or (short != "" and re.search(words, text) is not None)

    def stream(self) -> MaskedStream:
        """Mask one byte stream that comes in chunks."""
        return MaskedStream(self)


@dataclass(slots=True)
class MaskedStream:
    """One byte stream: a secret is masked even when it comes in many chunks.

    The end of what came so far is held back while it may be the beginning of a secret. `flush` gives it
    out when nothing follows soon: up to 7 characters as they are, more of a secret than that as a mask.
    What follows is still compared with it.
    """

    _masker: Masker
    _held: bytes = b""
    _given: int = 0
    _masked: bool = False

    @property
    def pending(self) -> bool:
        """Whether something is held back."""
        return len(self._held) > self._given

    def feed(self, data: bytes) -> bytes:
        """Take the next chunk and return what can be told of it so far."""
        secrets = self._masker.secrets
        if not secrets and not self._held:
            return data

        text = self._held + data if self._held else data
        cut = len(text) - _beginning_at_the_end(text, secrets)
        spans = [(start, end) for start, end in self._masker.spans(text) if start < cut]
        if not spans and not self._given:
            self._held = text[cut:]
            return text[:cut] if self._held else text

        return self._split(text, spans, cut)

    def _split(self, text: bytes, spans: Spans, cut: int) -> bytes:
        given, rest = self._given, spans
        if self._masked:  # the first mask was given out, and only grows
            spans = _merged([(0, given), *spans])
            (_, given), *rest = spans

        out = _rendered(text, rest, _MASK, given, cut)
        end = spans[-1][1] if spans else 0
        self._held = text[cut:]
        self._given = max(0, given - cut, end - cut)
        self._masked = end > cut
        return out

    def flush(self) -> bytes:
        """Return what was held back."""
        if not self.pending:
            return b""
        rest = self._held[self._given :]
        known = self._masked or len(self._held) >= MINIMUM
        out = (b"" if self._masked else _MASK) if known else rest
        self._given, self._masked = len(self._held), known
        return out


@cache
def find_in_bytes() -> Find[bytes]:
    """The `find` of stringzilla where it is installed, as fast whatever the text is; else `bytes.find`."""
    try:
        find: Find[bytes] = importlib.import_module("stringzilla").find
    except ImportError:
        return bytes.find
    return find


def _masked(text: AnyStr, groups: Groups[AnyStr], mask: AnyStr, find: Find[AnyStr]) -> AnyStr:
    spans = _spans(text, groups, find)
    return _rendered(text, spans, mask, 0, len(text)) if spans else text


def _rendered(text: AnyStr, spans: Spans, mask: AnyStr, start: int, end: int) -> AnyStr:
    """The text from `start` to `end` with a mask for each span."""
    parts: list[AnyStr] = []
    last = start
    for begin, after in spans:
        parts += [text[last:begin], mask]
        last = max(last, after)
    parts.append(text[last:end])
    return text[:0].join(parts)


def _spans(text: AnyStr, groups: Groups[AnyStr], find: Find[AnyStr]) -> Spans:
    found: Spans = []
    for word, spelt in groups:
        if find(text, word) >= 0:
            for secret in spelt:
                if find(text, secret) >= 0:
                    found += _occurrences(text, secret)
    return _merged(found)


def _occurrences(text: AnyStr, secret: AnyStr) -> Iterator[tuple[int, int]]:
    at = text.find(secret)
    while at >= 0:
        yield at, at + len(secret)
        at = text.find(secret, at + 1)


def _merged(spans: Spans) -> Spans:
    """The spans in order, overlapping ones joined."""
    merged: Spans = []
    for start, end in sorted(spans):
        if merged and start < merged[-1][1]:
            merged[-1] = merged[-1][0], max(end, merged[-1][1])
        else:
            merged.append((start, end))
    return merged


def _beginning_at_the_end(text: AnyStr, secrets: tuple[AnyStr, ...]) -> int:
    """The length of the longest proper beginning of a secret that `text` ends with."""
    last = text[-1:]
    return max((_overlap(text, secret) for secret in secrets if last and last in secret), default=0)


def _overlap(text: AnyStr, secret: AnyStr) -> int:
    window = text[-(len(secret) - 1) :]
    at = window.find(secret[:1])
    while at >= 0:
        if secret.startswith(window[at:]):
            return len(window) - at
        at = window.find(secret[:1], at + 1)
    return 0
