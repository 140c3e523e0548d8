"""How secret values are masked wherever hostler writes."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, AnyStr, NamedTuple

from hostler.secrets.credentials import MASK, MINIMUM, secret_parts
from hostler.secrets.secret_search import SecretSearch, spellings, spelt
from hostler.secrets.word_search import Spans, merged

_MASK = MASK.encode()
_SHORTEST = 3  # a secret of one or two characters keeps nobody out


class _Searches(NamedTuple):
    """All secrets of one moment, once as text and once as bytes."""

    text: SecretSearch[str]
    data: SecretSearch[bytes]

    @classmethod
    def of(cls, parts: Iterable[str]) -> _Searches:
        known = [*spelt(parts)]
        return cls(SecretSearch(known), SecretSearch((_encoded(one), _encoded(word)) for one, word in known))


def _encoded(text: str) -> bytes:
    return text.encode(errors="surrogateescape")


class Masker:
    """Knows the secrets of one server and replaces them. Safe to use from any thread."""

    _short: frozenset[str] = frozenset()  # not masked, but to be told to nobody else

    def __init__(self, values: Iterable[str] = ()) -> None:
        self._lock = threading.Lock()
        self._parts: set[str] = set()
        self._searches: _Searches | None = None  # made when it is needed
        self._values: set[str] = set()
        for value in values:
            self.register(value)

    def register(self, value: str) -> None:
        """Mask `value` in all that comes from now on; what `secret_parts` leaves out is ignored.

        Each of its parts is masked in all its spellings. Raises OSError, and leaves it out, where nothing can
        be opened to load them: do with a secret what may show it after this.
        """
        if value in self._values:
            return
        parts = {*secret_parts(value)}
        if parts:
            spellings()  # loaded by now, masking needs no file: errors of a shortage are masked, too
        with self._lock:
            self._values.add(value)
            self._short |= set() if parts or len(value) < _SHORTEST else {value}
            self._parts |= parts
            self._searches = None

    @property
    def _known(self) -> _Searches:
        known = self._searches
        if known is None:
            with self._lock:
                known = self._searches = _Searches.of(self._parts)
        return known

    @property
    def secrets(self) -> frozenset[bytes]:
        """All secrets as bytes."""
        return self._known.data.secrets

    @property
    def is_empty(self) -> bool:
        """Whether it knows no secret that is to be masked."""
        return not self._parts

    def text(self, text: str) -> str:
        """Return `text` with every secret replaced by "********"; overlapping ones become one mask.

        So is the beginning of a secret at its end: somebody may have cut it off there.
        """
        if not self._parts:
            return text
        search = self._known.text
        masked = _masked(text, search, MASK)
        whole = masked.removesuffix("...")
        begun = search.begun(whole)
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
                masked = [self.nested(item) for item in value]
                make = getattr(type(value), "_make", type(value))  # a named tuple takes its items one by one
                return make(masked)
            case _:
                text = str(value)
                return self.text(text) if self.found_in(text) else value

    def data(self, data: bytes) -> bytes:
        """Return `data` with every secret replaced by "********"; overlapping ones become one mask."""
        return _masked(data, self._known.data, _MASK)

    @property
    def search(self) -> SecretSearch[bytes]:
        """What looks for the secrets of this moment."""
        return self._known.data

    def found_in(self, text: str) -> bool:
        """Tell whether any secret stands in `text`."""
        return bool(self._known.text.spans(text))

    def knows(self, text: str) -> bool:
        """Tell whether a secret stands in `text`, also one that is not masked, which is a word then."""
        with self._lock:
            short = "|".join(map(re.escape, self._short))
        words = rf"(?<![A-Za-z0-9])(?:{short})(?![A-Za-z0-9])"
        return self.text(text) != text or (short != "" and re.search(words, text) is not None)

    def stream(self) -> MaskedStream:
        """Mask one byte stream that comes in chunks."""
        return MaskedStream(self)


@dataclass(slots=True, eq=False, repr=False)
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
        search = self._masker.search
        if not search.secrets and not self._held:
            return data

        text = self._held + data if self._held else data
        cut = len(text) - search.begun(text)
        spans = [(start, end) for start, end in search.spans(text) if start < cut]
        if not spans and not self._given:
            self._held = text[cut:]
            return text[:cut] if self._held else text

        return self._split(text, spans, cut)

    def _split(self, text: bytes, spans: Spans, cut: int) -> bytes:
        given, rest = self._given, spans
        if self._masked:  # the first mask was given out, and only grows
            spans = merged([(0, given), *spans])
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


def _masked(text: AnyStr, search: SecretSearch[AnyStr], mask: AnyStr) -> AnyStr:
    spans = search.spans(text)
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
