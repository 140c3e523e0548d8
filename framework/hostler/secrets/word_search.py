"""Which of many words stand in a text: in one pass where ahocorasick_rs is installed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import cache, cached_property
from importlib import import_module
from typing import Any, AnyStr, Generic, TypeAlias

Spans: TypeAlias = list[tuple[int, int]]

# So many words at once take 5 us for 64 KiB by SIMD, whatever the text is. It would search in another way
# where few letters begin them or are in all of them, which some texts make slow: the padding prevents it.
# As many letters as the padding has are compared at once: two take 3 us, and deceive where words are many.
_BATCH, _FEW, _SINGLE = 26, 8, 2


def _padding(words: int) -> list[bytes]:
    if words == 1:
        return []
    return [bytes([number]) * (2 if words <= _FEW else 4) for number in range(1, 7)]


class WordSearch(Generic[AnyStr]):
    """Tells which of its words stand in a text. Safe to use from any thread."""

    def __init__(self, words: Sequence[AnyStr]) -> None:
        self._words: Sequence[AnyStr] = words

    def found_in(self, text: AnyStr) -> list[AnyStr]:
        """Each word that stands in `text`."""
        if self._batches:
            return [word for batch in self._batches for word in batch.found_in(text)]
        return [word for word in self._words if word in text]

    @cached_property
    def _batches(self) -> list[_Batch[AnyStr]]:
        automaton = byte_automaton() if self._words and isinstance(self._words[0], bytes) else None
        if automaton is None:
            return []
        size = _BATCH if len(self._words) > _SINGLE else 1
        return [_Batch(automaton, self._words[at : at + size]) for at in range(0, len(self._words), size)]


class _Batch(Generic[AnyStr]):
    """Some words: a fast search, which tells one of several that overlap, and a slow one, which tells all."""

    def __init__(self, automaton: Callable[..., Any], words: Sequence[AnyStr]) -> None:
        kinds = import_module("ahocorasick_rs").MatchKind
        self._words: Sequence[AnyStr] = words
        self._fast = automaton([*words, *_padding(len(words))], matchkind=kinds.LeftmostFirst)
        self._all = automaton(words)
        self._longest = max(map(len, words))

    def found_in(self, text: AnyStr) -> list[AnyStr]:
        hits = self._fast.find_matches_as_indexes(text)
        if not hits:
            return []

        # What the fast search leaves out overlaps what it tells.
        around = merged([(max(0, start - self._longest), end + self._longest) for _, start, end in hits])
        found = {
            number
            for start, end in around
            for number, *_ in self._all.find_matches_as_indexes(text[start:end], overlapping=True)
        }
        return [self._words[number] for number in sorted(found)]


@cache
def byte_automaton() -> Callable[..., Any] | None:
    """The automaton of ahocorasick_rs for bytes, where that is installed."""
    try:
        found: Callable[..., Any] = import_module("ahocorasick_rs").BytesAhoCorasick
    except ImportError:
        return None
    return found


def occurrences(text: AnyStr, word: AnyStr) -> Iterator[int]:
    """Where `word` stands in `text`, overlapping ones too."""
    at = text.find(word)
    while at >= 0:
        yield at
        at = text.find(word, at + 1)


def merged(spans: Spans) -> Spans:
    """The spans in order, overlapping ones joined."""
    joined: Spans = []
    for start, end in sorted(spans):
        if joined and start < joined[-1][1]:
            joined[-1] = joined[-1][0], max(end, joined[-1][1])
        else:
            joined.append((start, end))
    return joined
