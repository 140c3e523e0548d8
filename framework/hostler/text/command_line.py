"""A command that is written as one string: split into words as a shell would, without a shell."""

from __future__ import annotations

import json
import re
import shlex

_OPERATOR = re.compile(r"[();<>|&]+")
_VARIABLE = re.compile(r"(?<![$\\])\$(?P<name>[A-Za-z_][A-Za-z0-9_]*|\()|`")
_ASSIGNMENT = re.compile(r"[A-Za-z_][A-Za-z0-9_]*=.*", re.DOTALL)
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
    """The words of a line, quotes removed; `${...}` stays as it is. Raises NotACommandLine."""
    try:
        words = shlex.split(line)
        tokens = _tokens(line)
    except ValueError as error:
        raise NotACommandLine(f"not a command line: {str(error).lower()}") from None

    if not words:
        raise NotACommandLine("expected a program and its arguments, found an empty string")

    found = _shell_syntax(line, words, tokens)
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
        return (
            f"${name} is a variable of a shell (${{{name}}} is one of hostler)"
            if is_name
            else (f"{variable[0]} is an expansion of a shell")
        )

    return f"{words[0]} sets a variable in a shell (here env does)" if _ASSIGNMENT.fullmatch(words[0]) else ""
