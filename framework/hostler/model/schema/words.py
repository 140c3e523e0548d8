"""The value of a key with a few allowed words, and what is meant by the words of other tools."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterable
from enum import Enum

from hostler.model.choices import HealthRule, OutputMode, StopMode, StopSignal
from hostler.model.schema import foreign_words
from hostler.model.schema.diagnostics import Diagnostics, likely, written
from hostler.model.schema.tree import Node, quoted

_UNCATCHABLE = frozenset({"SIGKILL", "SIGSTOP"})


def choice(options: type[Enum]) -> Callable[[Node, Diagnostics], Enum | None]:
    """One of a few words."""
    words = [option.value for option in options]

    def read(node: Node, found: Diagnostics) -> Enum | None:
        if isinstance(node.value, options):
            return node.value
        if node.value in words:
            return options(node.value)
        allowed = ", ".join(quoted(one) for one in words)
        advice = _advice(options, node)
        proposal = "" if advice else meant_word(node, words)
        found.expected(node, f"one of {allowed}{advice and f' ({advice})'}", proposal=proposal)
        return None

    return read


def meant_word(node: Node, words: Iterable[str]) -> str:
    """The allowed word that was probably meant, or ""."""
    words = list(words)
    foreign = [
        word for one in _spellings(node) for word in (one, *foreign_words.choices(one)) if word in words
    ]
    # Another signal is none that is misspelt.
    is_signal = _signal(node) in signal.Signals.__members__
    return next(iter(foreign), "" if is_signal else likely(written(node), words))


def _spellings(node: Node) -> list[str]:
    """How a value is written, and the name of the signal that it is."""
    value = node.value
    if isinstance(value, bool):
        return ["true" if value else "false"]
    text = written(node)
    return [one for one in (text, text.lower(), _signal(node)) if one]


def _signal(node: Node) -> str:
    """The name of the signal that a number, or a name without SIG or in small letters, means; else ""."""
    value = node.value
    if isinstance(value, bool):
        return ""
    if isinstance(value, int) and node.source_text is None:
        return next((one.name for one in signal.Signals if one.value == abs(value)), "")
    name = f"SIG{written(node).upper().removeprefix('SIG')}"
    return name if name in signal.Signals.__members__ else ""


def _advice(options: type[Enum], node: Node) -> str:
    """Where a value is written that does not belong to this key; "" where that is not known."""
    if options is StopSignal and _signal(node) in _UNCATCHABLE:
        return 'force_kill_timeout = "0s" sends SIGKILL at once'
    if options is StopMode and _signal(node):
        return f'a signal is written stop_signal = "{_signal(node)}"'
    if options is HealthRule:
        return "a check of health is a plugin: [servers.NAME.plugins] http-health = true"
    is_file = options is OutputMode and ("file" in node.table or set(written(node)) & {"/", "."})
    if is_file and written(node) != "/dev/null":
        return "a log file is [servers.NAME.plugins] log-rotation = { path = ... }"
    return ""
