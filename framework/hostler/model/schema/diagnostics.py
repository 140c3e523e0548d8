"""The mistakes of a configuration, collected so that all are reported at once."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace

from hostler.errors import InvalidConfiguration, Problem
from hostler.model.schema import foreign_words
from hostler.model.schema.masked import without_defaults
from hostler.model.schema.tree import Node, quoted
from hostler.secrets.credentials import MASK, is_secret_name

_SHORT = 3
# A few lines can refer to each other so that they would fill all memory.
_MOST_FILLED = 32 * 2**20
_PART = r"""(?:[A-Za-z0-9_-]+|"(?:[^"\\]|\\.)*")"""
_OWNER = rf"(?:profiles\.{_PART}\.)?(?:defaults|(?:servers|templates)\.{_PART})"


class Diagnostics:
    """What was found wrong so far, in the order of finding.

    `suggest_place` tells where an unknown key of a server belongs, "" where that is not known. `unset` are
    variables without a value: what only the server that refers to them cannot do without.
    """

    def __init__(self, suggest_place: Callable[[str, Node], str] = lambda _name, _node: "") -> None:
        self.problems: list[Problem] = []
        self.unset: list[Problem] = []
        self._suggest_place = suggest_place
        self._keys: set[str] = set()
        self._filled = 0

    def add(
        self, node: Node, message: str, *, key: str = "", proposal: str = "", is_unset: bool = False
    ) -> None:
        """Note a mistake at a value, or at `key` where the mistake is that something is missing there.

        Only the first mistake at a key is noted: what follows from it would be noise. `is_unset`: the value
        refers to a variable that is not set.
        """
        problem = Problem(key or node.key, message, node.place.file, node.place.line, proposal)
        if problem.key not in self._keys:
            self._keys.add(problem.key)
            (self.unset if is_unset else self.problems).append(problem)

    def count_filled(self, node: Node, size: int, *, key: str = "") -> None:
        """Count characters that are about to be filled in at a value.

        Raises InvalidConfiguration, with all that was found so far, when they are too many altogether.
        """
        self._filled += size

        if self._filled > _MOST_FILLED:
            self.add(
                node,
                f"what templates and ${{...}} fill in is larger than {_MOST_FILLED // 2**20} MiB: "
                "shorten what is filled in, or fill it in less often",
                key=key,
            )
            raise InvalidConfiguration(self.problems)

    def has_problem(self, node: Node) -> bool:
        """Whether a mistake was found at a value or below it."""
        return bool(self._keys) and any(child.key in self._keys for child in node.walk())

    def expected(self, node: Node, what: str, *, proposal: str = "") -> None:
        """Note a value that is not what is allowed."""
        found = shown(node)
        self.add(node, f"expected {what}, found {found}", proposal="" if found == MASK else proposal)

    def unknown(self, node: Node, name: str, allowed: Iterable[str], *, what: str = "unknown key") -> None:
        """Note a name that does not exist, with the likely word, or else with all that are allowed."""
        words = list(allowed)
        # What is exactly known elsewhere goes before what is only spelt alike.
        belongs = self._suggest_place(name, node) if "cwd" in words else ""
        foreign = foreign_words.advice(name) if "cwd" in words and not belongs else ""
        belongs = belongs or (foreign and f"; {foreign}")
        meant = foreign_words.in_restart(name) if "max_restarts" in words else ""
        word = "" if belongs or ";" in what else meant or likely(name, words)
        is_told = word or not words or ";" in what
        rest = belongs or ("" if is_told else f"; allowed: {', '.join(words)}")
        self.add(node, what + rest, proposal=word)


def deduplicated(problems: Iterable[Problem]) -> list[Problem]:
    """The problems, each reported once, where its value was written.

    Each stands where it was written: in a profile rather than in the template or server that it changes,
    in a template or the defaults rather than in the servers that take it from there.
    """
    problems = list(problems)
    first: dict[Problem, Problem] = {}
    for problem in problems:
        mistake = _mistake(problem)
        first[mistake] = min(first.get(mistake, problem), problem, key=_rank)
    return [one for one in problems if one.line is None or one is first[_mistake(one)]]


def _rank(problem: Problem) -> int:
    words = ("profiles", "defaults", "templates", "servers")
    first = problem.key.partition(".")[0]
    return words.index(first) if first in words else 0


def _mistake(problem: Problem) -> Problem:
    """The same mistake with its key below the server or template, and without what is allowed there."""
    message = problem.message.partition("; allowed: ")[0]
    return replace(problem, key=re.sub(_OWNER, "", problem.key, count=1), message=message, proposal="")


def shown(node: Node) -> str:
    """What was found, for a message: never the value of a variable, but its `${...}`, and no secret."""
    name = node.key.rpartition(".")[2]
    is_secret = node.source_text is None and name != "secret" and is_secret_name(name)
    is_scalar = isinstance(node.value, str | int | float) and not isinstance(node.value, bool)
    if is_secret and is_scalar:
        return MASK
    return worded(node.value if node.source_text is None else without_defaults(node.source_text))


def written(node: Node) -> str:
    """The string that stands there in a file itself; "" for other values, and for one from a variable."""
    return node.value if isinstance(node.value, str) and node.source_text is None else ""


def worded(value: object) -> str:
    """A value of a configuration for a message: short ones as they stand in TOML, others by their kind."""
    match value:
        case str() as text:
            return quoted(text)
        case bool() as flag:
            return "true" if flag else "false"
        case int() | float() as number:
            return str(number)
        case Mapping():
            return "a table"
        case list() | tuple() as items:
            return "a list" if items else "an empty list"
        case value:
            return f"a {type(value).__name__}"


def likely(word: str, words: Iterable[str]) -> str:
    """The word that was probably meant, or "": one that is spelt nearly so, or that is short for it."""
    import difflib  # noqa: PLC0415 - only messages need it

    words = list(words)
    # A name as a part of something else: "servers.db", "db.url", "db:ready".
    parts = {word.rpartition(".")[2], re.split(r"[.:]", word, maxsplit=1)[0]}
    inside = [one for one in words if one in parts]
    near = [
        *inside,
        *difflib.get_close_matches(word, words, n=1),
        *difflib.get_close_matches(word.lower(), words, n=1),
    ]
    short = [one for one in words if len(one) >= _SHORT and word.startswith(one)]
    return next(iter([*near, *short]), "")
