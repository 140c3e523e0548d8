"""What each kind of value may be: readers that turn a value into what a spec holds, or note what is wrong.

A reader returns None when the value cannot be used; the mistake is then in the findings.
"""

from __future__ import annotations

import math
import re
import signal
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, TypeAlias

from hostler.model.choices import RestartMode
from hostler.model.schema.diagnostics import Diagnostics, shown, written
from hostler.model.schema.tree import Node, quoted
from hostler.model.schema.words import meant_word
from hostler.model.units import Duration, likely_duration, likely_duration_of

Reader: TypeAlias = Callable[[Node, Diagnostics], Any]

# 3000, :3000, localhost:3000, http://localhost:3000/, 3000/tcp, and of 3000:80 the port outside.
_ADDRESS = (
    r"(?a)(?:(?:[a-z]+://)?(?:[a-z][a-z0-9.-]*|[0-9]+(?:\.[0-9]+){3})?:)?"
    r"(?P<port>0|[1-9][0-9]{0,4})(?:/|(?::[0-9]+)?(?:/tcp)?)"
)
_LARGEST_PORT = 65535
_NEVER = frozenset({"never", "none", "off", "infinity", "inf", "unlimited", "false"})
_SCHEME = r"[a-z][a-z0-9+.-]*"
_LARGEST_EXIT_CODE = 255
_FLAGS = MappingProxyType(
    {
        **dict.fromkeys(("true", "yes", "on", "1", "always", "enabled"), "true"),
        **dict.fromkeys(("false", "no", "off", "0", "never", "none", "disabled"), "false"),
    }
)


def text(node: Node, found: Diagnostics) -> str | None:
    """A string without NUL characters, which no argument and no variable can hold."""
    if not isinstance(node.value, str):
        found.expected(node, "a string", proposal=_as_string(node.value))
        return None
    if "\0" in node.value:
        found.expected(node, "a string without NUL characters")
        return None
    return node.value


def word(node: Node, found: Diagnostics) -> str | None:
    """A string that is not empty."""
    value = text(node, found)
    if value == "":
        found.expected(node, "a string that is not empty")
    return value or None


def exit_codes(node: Node, found: Diagnostics) -> tuple[int | str, ...] | None:
    """How a server may end with success: exit codes, and names of signals that may end it."""
    if not isinstance(node.value, list):
        is_code = isinstance(node.value, int) and not isinstance(node.value, bool)
        example = f"[{node.value}]" if is_code else '[0, 143] or [0, "SIGTERM"]'
        found.expected(node, f"a list of exit codes, such as {example}")
        return None
    codes = [_exit_code(item, found) for item in node.value]
    return None if None in codes else tuple(code for code in codes if code is not None)


def _exit_code(node: Node, found: Diagnostics) -> int | str | None:
    number = _whole(node)
    if number is not None and 0 <= number <= _LARGEST_EXIT_CODE:
        return number
    if isinstance(node.value, str) and node.value in signal.Signals.__members__:
        return node.value

    what = 'an exit code from 0 to 255, or the name of a signal, such as "SIGTERM"'
    bare = f" (write {written(node)}, without quotes)" if re.fullmatch("[0-9]{1,3}", written(node)) else ""
    proposal = "" if bare else meant_word(node, signal.Signals.__members__)
    found.expected(node, what + bare, proposal=proposal)
    return None


def scheme(node: Node, found: Diagnostics) -> str | None:
    """The scheme of a URL."""
    value = text(node, found)
    if value is not None and not re.fullmatch(_SCHEME, value):
        found.expected(node, 'the scheme of a URL, such as "http"')
        return None
    return value


def flag(node: Node, found: Diagnostics) -> bool | None:
    """True or false."""
    if isinstance(node.value, bool):
        return node.value
    is_number = isinstance(node.value, int) and node.source_text is None
    meant = _FLAGS.get(str(node.value) if is_number else written(node).lower())
    quotes = "" if is_number else ", without quotes"
    found.expected(node, f"true or false (write {meant}{quotes})" if meant else "true or false")
    return None


def integer(lowest: int) -> Reader:
    """A whole number, `lowest` or more."""
    what = f"a whole number, {lowest} or more"

    def read(node: Node, found: Diagnostics) -> int | None:
        number = _whole(node)
        if number is None or number < lowest:
            found.expected(node, what)
            return None
        return number

    return read


def port(node: Node, found: Diagnostics) -> int | None:
    """A port, 0 for a free one; false for none (the caller tells that from a mistake by the node)."""
    if node.value is False:
        return None
    number = _whole(node)
    if number is None or not 0 <= number <= _LARGEST_PORT:
        meant = _meant_port(node)
        bare = f" (write {meant}{', without quotes' if meant == written(node) else ''})" if meant else ""
        found.expected(node, f"a whole number from 0 to 65535 (0: a free port), or false (no port){bare}")
        return None
    return number


def _meant_port(node: Node) -> str:
    """What was probably meant by a word, an address or a pair of ports as compose has it; else ""."""
    value, text = node.value, written(node).strip().lower()
    if value is True or text in {"auto", "random", "free", "any", "dynamic", "true"}:
        return "0"
    if text in {"none", "off", "no", "false", "null"}:
        return "false"
    if isinstance(value, float) and value.is_integer() and 0 <= value <= _LARGEST_PORT:
        return str(int(value))
    found = re.fullmatch(_ADDRESS, text)
    return found["port"] if found and int(found["port"]) <= _LARGEST_PORT else ""


def duration(*, zero: bool = False) -> Reader:
    """A duration with a unit, in seconds; 0 only where it means something. A program may give a Duration."""
    what = "a duration of 0s or more" if zero else "a duration longer than 0s"

    def read(node: Node, found: Diagnostics) -> float | None:
        if zero and (node.value is False or written(node).lower() in _NEVER):
            found.expected(node, what, proposal="0s")
            return None
        seconds = float(node.value) if isinstance(node.value, Duration) else _in_seconds(node, found)
        if seconds is not None and (not math.isfinite(seconds) or seconds < 0 or (seconds == 0 and not zero)):
            found.expected(node, what)
            return None
        return seconds

    return read


def _in_seconds(node: Node, found: Diagnostics) -> float | None:
    if not isinstance(node.value, str):
        proposal = likely_duration_of(node.value)
        found.expected(node, 'a duration with a unit (ms, s, m, h, d), such as "30s"', proposal=proposal)
        return None

    try:
        return float(Duration.parse(node.value))
    except ValueError as error:
        found.add(node, f"{error}, found {shown(node)}", proposal=likely_duration(written(node)))
        return None


def texts(node: Node, found: Diagnostics) -> tuple[str, ...] | None:
    """A list of strings; one string is a mistake that is easily made."""
    if not isinstance(node.value, list):
        # The usual slip is a whole command line: it is shown as the list that it should be.
        is_line = isinstance(node.value, str) and not node.value.startswith("[")
        example = f"[{_words(node)}]" if is_line else '["..."]'
        found.expected(node, f"a list of strings, such as {example}")
        return None
    values = [text(item, found) for item in node.value]
    return None if None in values else tuple(value for value in values if value is not None)


def any_table(node: Node, found: Diagnostics) -> None:
    """A table, read by those who know what it may hold."""
    if not isinstance(node.value, dict):
        found.expected(node, "a table")


def table(fields: Mapping[str, Reader], build: Callable[..., object]) -> Reader:
    """A table with known keys, from which `build` makes a value."""

    def read(node: Node, found: Diagnostics) -> object | None:
        values = entries(node, fields, found)
        return None if values is None else build(**values)

    return read


def restart(fields: Mapping[str, Reader], build: Callable[..., object]) -> Reader:
    """As `table`, where one word may have been written for the policy, as compose has it."""
    read_table = table(fields, build)

    def read(node: Node, found: Diagnostics) -> Any:
        if isinstance(node.value, dict):
            return read_table(node, found)
        words = [option.value for option in RestartMode]
        policy = meant_word(node, words) or words[0]
        found.expected(node, f"a table, such as {{ policy = {quoted(policy)} }}")
        return None

    return read


def entries(node: Node, fields: Mapping[str, Reader], found: Diagnostics) -> dict[str, Any] | None:
    """The values of a table that can be used, by key; None when it is no table."""
    if not isinstance(node.value, dict):
        found.expected(node, "a table")
        return None

    values = {}

    for name, child in node.value.items():
        if name not in fields:
            found.unknown(child, name, fields)
            continue
        value = fields[name](child, found)
        if value is not None:
            values[name] = value

    return values


def _whole(node: Node) -> int | None:
    """An integer; also one in digits that was filled in from a variable, which can only be a string."""
    if isinstance(node.value, int) and not isinstance(node.value, bool):
        return node.value
    # 18 digits always fit 64 bits.
    is_digits = isinstance(node.value, str) and re.fullmatch(r"[0-9]{1,18}", node.value)
    return int(node.value) if is_digits and node.source_text is not None else None


def _as_string(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, int | float) else ""


def _words(node: Node) -> str:
    """The words of a command line as they would stand in a list."""
    import shlex  # noqa: PLC0415 - only this message needs it

    line = node.source_text if node.source_text is not None else node.value
    try:
        return ", ".join(quoted(one) for one in shlex.split(line))
    except ValueError:
        return quoted(line)
