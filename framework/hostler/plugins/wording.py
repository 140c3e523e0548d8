"""Words that several messages about plugins share."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

_LONGEST_REPR = 300


def likely(word: str, choices: Iterable[str]) -> str:
    """The choice that was probably meant, or ""."""
    return next(iter(get_close_matches(word, list(choices), n=1, cutoff=0.6)), "")


def did_you_mean(word: str, choices: Iterable[str]) -> str:
    """A question to append to a sentence, or ""."""
    proposal = likely(word, choices)
    return f'; did you mean "{proposal}"?' if proposal else ""


def said(error: BaseException) -> str:
    """The repr of an exception, bounded; its class alone where that fails too."""
    try:
        text = repr(error)
    except Exception:  # noqa: BLE001 - a plugin's exception may be broken itself
        return type(error).__name__

    return text if len(text) <= _LONGEST_REPR else text[:_LONGEST_REPR] + "..."
