"""Where secrets stand in a text, in all their spellings, and whether one begins at its end."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import AnyStr, Generic, TypeAlias

from hostler.secrets.word_search import Spans, WordSearch, merged, occurrences

_WORD = re.compile(r"[A-Za-z0-9]+")
_TOO_SHORT = 3  # a shorter word stands in nearly every text
_BEGINNING = 4  # characters

Places: TypeAlias = Mapping[int, tuple[AnyStr, ...]]
"""Where a word stands first in secrets, and in which."""


class SecretSearch(Generic[AnyStr]):
    """Looks for secrets in texts of one kind. Safe to use from any thread.

    A word that stands in all spellings of a secret is looked for, and around it for the spellings.
    """

    def __init__(self, secrets: Iterable[tuple[AnyStr, AnyStr]]) -> None:
        """`secrets`: each spelling of each secret, and a word that stands in it."""
        places: dict[AnyStr, dict[int, set[AnyStr]]] = defaultdict(lambda: defaultdict(set))
        begun: dict[AnyStr, set[AnyStr]] = defaultdict(set)
        for secret, word in secrets:
            places[word][secret.find(word)].add(secret)
            begun[secret[:_BEGINNING]].add(secret)

        self.secrets: frozenset[AnyStr] = frozenset(one for found in begun.values() for one in found)
        self._places: Mapping[AnyStr, Places[AnyStr]] = {
            word: {at: tuple(found) for at, found in of_word.items()} for word, of_word in places.items()
        }
        self._words: WordSearch[AnyStr] = WordSearch(tuple(places))
        self._begun: Mapping[AnyStr, tuple[AnyStr, ...]] = {at: tuple(found) for at, found in begun.items()}
        self._beginnings: WordSearch[AnyStr] = WordSearch(tuple(begun))
        self._short: tuple[AnyStr, ...] = tuple(
            {one[:length] for one in begun for length in range(1, min(_BEGINNING, len(one)))}
        )
        self._letters: frozenset[AnyStr] = frozenset(
            one[at : at + 1] for one in self.secrets for at in range(len(one))
        )
        self._longest = max(map(len, self.secrets), default=0)

    def spans(self, text: AnyStr) -> Spans:
        """Where secrets stand in `text`: begin and end of each, in order, overlapping ones joined."""
        return merged(
            [
                span
                for word in self._words.found_in(text)
                for at in occurrences(text, word)
                for span in self._around(text, at, word)
            ]
        )

    def _around(self, text: AnyStr, at: int, word: AnyStr) -> Iterator[tuple[int, int]]:
        for offset, secrets in self._places[word].items():
            start = at - offset
            if start >= 0 and text.startswith(secrets, start):
                yield start, start + max(len(one) for one in secrets if text.startswith(one, start))

    def begun(self, text: AnyStr) -> int:
        """The length of the longest proper beginning of a secret that `text` ends with."""
        if text[-1:] not in self._letters:  # as mostly after a whole line
            return 0

        window = text[-self._longest :]
        ends = (
            window[at:]
            for beginning in self._beginnings.found_in(window)
            for at in occurrences(window, beginning)
            if self._begins(window[at:], beginning)
        )
        longest = max(map(len, ends), default=0)
        if not longest and text.endswith(self._short):
            longest = max(map(len, filter(text.endswith, self._short)))
        return longest

    def _begins(self, end: AnyStr, beginning: AnyStr) -> bool:
        return any(len(one) > len(end) and one.startswith(end) for one in self._begun[beginning])


def spellings() -> Callable[[str], Iterator[str]]:
    """What spells a secret; raises OSError where no file can be opened to load it."""
    from hostler.text.encodings import spellings as spell  # noqa: PLC0415 - few servers have secrets

    return spell


def spelt(parts: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Each part in all its spellings, and the longest word of it: nobody escapes letters and digits."""
    for part in parts:
        word = max(_WORD.findall(part), key=len, default="")
        for spelling in spellings()(part):
            yield spelling, word if len(word) >= _TOO_SHORT and word in spelling else spelling
