"""Which lines of logs a call wants, as a query of the control API and a search in what it answers."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from hostler.cli.client.moments import moment_of
from hostler.cli.client.progress import quoted
from hostler.cli.command_line import Arguments, Usage

LARGEST_PAGE = 1000
_USUAL = 200
_FLAGS = re.compile(r"[(][?][aiLmsux#-]")
_TOKEN = re.compile(
    r"""(?P<plain>[^\\\[\](){}|.*+?^$]|\\[^a-zA-Z0-9])  # a character that stands for itself
    |\\.|\[\^?\]?(?:\\.|[^\]\\])*\]|\{[0-9,]*\}|.  # a class, a set, a number of times, a sign
    """,
    re.VERBOSE | re.DOTALL,
)


class LogQuery:
    """The selection of a call. Raises Usage for what cannot be meant."""

    def __init__(self, arguments: Arguments) -> None:
        self.names = arguments.names
        self.follows = arguments.has("follow")
        self._pattern = _pattern(arguments.text("grep"))
        self._fixed: dict[str, str] = {"contains": literal_of(arguments.text("grep"))}
        for name in ("since", "until"):
            if arguments.has(name):
                self._fixed[name] = moment_of(arguments, name).isoformat(timespec="microseconds")
        if arguments.has("stream"):
            self._fixed["stream"] = arguments.text("stream")
        if arguments.has("run"):
            self._fixed["run"] = str(_number(arguments, "run"))
        if self.follows and arguments.has("until"):
            raise Usage("--until ends before --follow begins: use one of them")
        bounded = not {"since", "until", "run"} & self._fixed.keys()
        self.count = _number(arguments, "lines") if arguments.has("lines") else _USUAL if bounded else None

    def target(self, **more: str | int) -> str:
        """The request for a page of it."""
        values = {**self._fixed, "servers": ",".join(self.names), **more}
        given = "&".join(
            f"{name}={quoted(str(value))}" for name, value in values.items() if value or name == "after"
        )
        return f"/v1/log?{given}"

    @property
    def fixed(self) -> Mapping[str, str]:
        """What is the same for every page."""
        return self._fixed

    def accepts(self, line: Mapping[str, Any]) -> bool:
        """Whether a line has what is searched for."""
        return self._pattern is None or self._pattern.search(line["text"]) is not None


def literal_of(pattern: str) -> str:
    """A text that stands in everything that the pattern finds: looked for first, it saves most of the time.

    "" where none is sure.
    """
    if _FLAGS.search(pattern):
        return ""
    pieces, depth = [""], 0
    for token in _TOKEN.finditer(pattern):
        text, plain = token[0], token["plain"]
        if text == "|" and not depth:
            return ""
        depth += {"(": 1, ")": -1}.get(text, 0)
        if plain is not None and not depth:
            pieces[-1] += plain.removeprefix("\\")
            continue
        if text[0] in "*?{":  # what it stands behind may be missing
            pieces[-1] = pieces[-1][:-1]
        pieces.append("")
    return max(pieces, key=len)


def _pattern(text: str) -> re.Pattern[str] | None:
    try:
        return re.compile(text) if text else None
    except re.error as error:
        raise Usage(f"--grep takes a regular expression, found {text!r}: {error}") from None


def _number(arguments: Arguments, name: str) -> int:
    text = arguments.text(name)
    if not text.isascii() or not text.isdecimal() or len(text) > 9:
        raise Usage(f"--{name} takes a number, found {text!r}")
    return int(text)
