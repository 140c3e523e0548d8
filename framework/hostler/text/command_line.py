"""A command that is written as one string: split into words as a shell would, without a shell."""

from __future__ import annotations

import json
import re
import shlex

_OPERATOR = re.compile(r"[();<>|&]+")
_VARIABLE = re.compile(r"(?<![$\\])\$(?P<name>[A-Za-z_][A-Za-z0-9_]*|\()|`")
_ASSIGNMENT = re.compile(r"[A-Za-z_][A-Za-z0-9_]*=.*", re.DOTALL)
# `$$`, which is a `$`, or a reference; a letter that no text has stands for one while a line is split.
_REFERENCE = re.compile(r"\$\$|\$\{[^{}]*\}")
_STAND_IN = "\ue0fe"
_IN_SINGLE_QUOTES = re.compile(r"'[^']*'")


class NotACommandLine(ValueError):
    """Raised when a string is no command without a shell; the message says what to write instead."""


class _Lexer(shlex.shlex):
    """Splits at spaces and operators alone; `#` begins no comment."""

    def __init__(self, line: str) -> None:
        super().__init__(line, posix=False, punctuation_chars=True)
        self.whitespace_split = True
        self.commenters = ""


def split(line: str) -> list[str]:
    """The words of a line, quotes removed; a `${...}` is one piece, spaces and quotes in it too.

    Raises NotACommandLine.
    """
    references: list[str] = []

    def piece(found: re.Match[str]) -> str:
        if found[0] == "$$":
            return found[0]
        references.append(found[0])
        return _STAND_IN

    pieces = _REFERENCE.sub(piece, line) if _STAND_IN not in line else line
    try:
        words = shlex.split(pieces)
        tokens = _tokens(pieces)
    except ValueError as error:
        raise NotACommandLine(f"not a command line: {str(error).lower()}") from None

    if not words:
        raise NotACommandLine("expected a program and its arguments, found an empty string")

    rest = iter(references)
    words = [re.sub(_STAND_IN, lambda _: next(rest), word) for word in words] if references else words
    found = _shell_syntax(pieces, words, tokens)
    if found:
        script = json.dumps(line, ensure_ascii=False)
        raise NotACommandLine(f'{found}: no shell is involved; write ["sh", "-c", {script}] for a shell')

    return words


def _tokens(line: str) -> list[str]:
    """The words and the operators of a shell, quotes kept, so that a quoted operator is a word."""
    return list(_Lexer(line))


def _shell_syntax(line: str, words: list[str], tokens: list[str]) -> str:
    """What only a shell understands, in words; "" where there is nothing."""
    operator = next((token for token in tokens if _OPERATOR.fullmatch(token)), None)
    if operator is not None:
        return f"{operator} is an operator of a shell"

    # In single quotes a dollar is itself, in a shell too.
    variable = _VARIABLE.search(_IN_SINGLE_QUOTES.sub("", line))
    if variable is not None:
        name = variable["name"]
        is_name = name not in {None, "("}
        own = "${server.port} is the port" if name == "PORT" else f"${{{name}}} is one of hostler"
        return (
            f"${name} is a variable of a shell ({own})"
            if is_name
            else f"{variable[0]} is an expansion of a shell"
        )

    return f"{words[0]} sets a variable in a shell (here env does)" if _ASSIGNMENT.fullmatch(words[0]) else ""
