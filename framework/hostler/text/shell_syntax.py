"""Shell syntax in commands that no shell runs: words that do not mean what they would to one."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence

_SHELLS = frozenset({"sh", "ash", "bash", "dash", "fish", "ksh", "mksh", "zsh"})
_EXPAND_THEMSELVES = frozenset({"envsubst"})
_OPERATORS = frozenset({"|", "||", "&&", "&", ">", ">>", "<", "2>&1", "2>"})
_OPERATORS_ARE_WORDS = frozenset({"[", "expr", "test"})
_SCRIPT_FLAG = r"-[A-Za-z]*c[A-Za-z]*"
_WITH_VALUE = frozenset({"-o", "-O"})
_DOLLARS = r"(?s)(?P<dollars>\$+)(?P<next>.?)"
_REFERENCE = r"[A-Za-z0-9_{(@*#?!]"
_ALMOST = r"(?<![$\w])(?:\$|\{\{ ?)(?P<name>server\.(?:host|name|port|url))(?: ?\}\})?"
_VARIABLE = r"(?a)[\w./:=@,+-]*(?<!\$)(?P<variable>\$[A-Z_][A-Z0-9_]*)[\w./:=@,+-]*"


def surprising_syntax(key: str, value: object) -> Iterator[tuple[str, str]]:
    """The commands at and below a key with syntax that would surprise, and what to do."""
    match value:
        case Mapping():
            for name, item in value.items():
                yield from surprising_syntax(f"{key}.{name}", item)
        case list() | tuple() if value and all(isinstance(word, str) for word in value):
            yield from ((key, message) for message in _messages(value))


def _messages(words: Sequence[str]) -> Iterator[str]:
    scripts = list(_scripts(words))
    if any(_has_lone_dollar(script) for script in scripts):
        yield "$$ stands for one $, so the shell finds a lone $; write $$$$ for its process id"
    if found := re.search(_ALMOST, " ".join(words)):
        yield f"{found[0]} is handed on as it is; write ${{{found['name']}}}"

    if scripts or _name(words[0]) in _SHELLS | _EXPAND_THEMSELVES:
        return

    operator = next((word for word in words[1:] if word in _OPERATORS), "")
    if operator and _name(words[0]) not in _OPERATORS_ARE_WORDS:
        yield f'no shell is used: {operator} is handed on as a word; write ["sh", "-c", "..."] for a shell'

    variables = [found["variable"] for word in words[1:] if (found := re.fullmatch(_VARIABLE, word))]
    for name in dict.fromkeys(variables):
        yield (
            f"no shell is used: {name} is handed on as it is; write ${{{name[1:]}}} for a variable of "
            'hostler, ${server.port} for the port of the server, or ["sh", "-c", "..."] for a shell'
        )


def _scripts(words: Sequence[str]) -> Iterator[str]:
    """The scripts that a shell among the words runs, with `-c`."""
    for number, word in enumerate(words):
        if _name(word) in _SHELLS:
            yield from _script_of(words[number + 1 :])


def _script_of(arguments: Sequence[str]) -> Iterator[str]:
    for number, word in enumerate(arguments[:-1]):
        if re.fullmatch(_SCRIPT_FLAG, word):
            yield arguments[number + 1]
            return
        if not word.startswith("-") and arguments[number - 1] not in _WITH_VALUE:
            return  # a file to run


def _has_lone_dollar(script: str) -> bool:
    found = re.finditer(_DOLLARS, script)
    return any(len(one["dollars"]) == 2 and not re.match(_REFERENCE, one["next"]) for one in found)


def _name(program: str) -> str:
    return program.rpartition("/")[2]
