"""What a syntax error of TOML mostly means, and what to write instead."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from types import MappingProxyType

from hostler.model.dataclass import dataclass

_EXCERPT_WIDTH = 100
_POSITION = re.compile(r" \(at (?:line (\d+), column (\d+)|end of document)\)$")
_KEYS = re.compile(r"(?P<what>Cannot declare|Cannot mutate immutable namespace) \((?P<keys>.*?),?\)")
_SMART_QUOTES = frozenset("\u201c\u201d\u201e\u2018\u2019")
_WORD = re.compile(r"[A-Za-z_./~$%@-]")
_ALONE = re.compile(r"(?P<word>[A-Za-z]+)\s*(?:[,\]}#].*)?")
_OWN_TABLE = re.compile(r"^\s*\[+\s*(?:servers|templates|profiles|defaults)\b", re.MULTILINE)
_A_SERVER = "; here a server is a table [servers.NAME], with KEY = VALUE on each line"
# What a line anywhere, the first line, or every line tells of a text; each pattern reads a line once.
_ANYWHERE: Mapping[str, str] = MappingProxyType(
    {
        r"\[(?:Unit|Service|Install)\]": "this is a unit of systemd; write [servers.NAME] with command for "
        "ExecStart, cwd for WorkingDirectory, env for Environment, restart for Restart",
        r"\[(?:program:|supervisord\])": "supervisord.conf",
        r"module\.exports\b": "ecosystem.config.js",
        "services:": "compose.yaml",
        "processes:": "process-compose.yaml",
    }
)
_FIRST: Mapping[str, str] = MappingProxyType(
    {
        r"\{|\[\s*(?:\{|$)": f"this is JSON{_A_SERVER}",
        r"<[?!a-z]": f"this is XML{_A_SERVER}",
        r"#!|(?:cd|export|set|source|cat|exec) ": f"this is a script of a shell{_A_SERVER}",
        r"---\s*$|- \w|[\w-]+:\s*$": f"this is YAML{_A_SERVER}",
    }
)
_EVERY: Mapping[str, str] = MappingProxyType(
    {
        r"[\w-]+: *\S": "Procfile",
        r"[A-Z_][A-Z0-9_]*=": 'these are variables; name this file in a server, env_file = "..."',
    }
)
_OF_ANY_FILE: Mapping[str, str] = MappingProxyType(
    {
        r"(?:<{7}|={7}|>{7})(?:\s|$)": "a merge conflict is left in the file; resolve it",
        "```": "``` is of Markdown; leave these lines out",
    }
)


@dataclass(frozen=True, slots=True)
class SyntaxMistake:
    """What is wrong, with the line and a mark below the column, and where that is."""

    message: str
    line: int | None = None
    column: int | None = None

    @classmethod
    def of(cls, text: str, error: ValueError) -> SyntaxMistake:
        """What an error of tomllib says of a text, in the words of a user."""
        position = _POSITION.search(str(error))
        if position is None:
            return cls(f"not valid TOML: {error}")

        # tomllib counts lines and columns after the same replacement.
        rows = text.replace("\r\n", "\n").rstrip("\n").split("\n")
        line, column = (int(position[1]), int(position[2])) if position[1] else (len(rows), len(rows[-1]) + 1)
        row = rows[min(line, len(rows)) - 1]
        what = str(error)[: position.start()]
        sentence = _language(text) or _sentence(what, rows[: line - 1], row, column)
        return cls(f"not valid TOML: {sentence}\n{_excerpt(row, column)}", line, column)


def _language(text: str) -> str:
    """What a text is that was not written for hostler at all, and what to do with it; else ""."""
    rows = [row for row in text.splitlines() if row.strip()]
    if "\r" in text and "\n" not in text:
        return "its lines end with a carriage return alone; save the file with line feeds"

    found = _first(_OF_ANY_FILE, rows)
    if found or _OWN_TABLE.search(text):
        return found

    own = [row.strip() for row in rows if not row.startswith("#") or row.startswith("#!")]
    found = _first(_ANYWHERE, rows) or _first(_FIRST, own[:1])
    found = found or next(
        (what for one, what in _EVERY.items() if all(re.match(one, row) for row in own)), ""
    )
    if not found or " " in found:
        return found
    return f"this looks like {found}; save it by that name, and run hostler import {found}"


def _first(known: Mapping[str, str], rows: Iterable[str]) -> str:
    """What the first pattern that a line begins with tells, or ""."""
    return next((what for one, what in known.items() if any(re.match(one, row) for row in rows)), "")


def _excerpt(row: str, column: int) -> str:
    """The offending line with a mark below the column, cut where it is long, safe for a terminal."""
    first = 0 if len(row) <= _EXCERPT_WIDTH else max(0, column - 1 - _EXCERPT_WIDTH // 2)
    piece = "".join(letter if letter.isprintable() else " " for letter in row[first : first + _EXCERPT_WIDTH])
    return f"    {piece}\n    {' ' * (column - 1 - first)}^"


def _sentence(what: str, above: list[str], row: str, column: int) -> str:
    """What tomllib says, with what to do about it where that is known."""
    before, rest = row[: column - 1].rstrip(), row[column - 1 :]
    twice = _twice(what, above, before)
    if twice:
        return twice
    return what + next(_advice(what, before, rest), "")


# -- what stands there twice -----------------------------------------------------------------------


def _twice(what: str, above: list[str], before: str) -> str:
    """What is declared a second time, with the line of the first; "" for another mistake."""
    declared = _KEYS.match(what)
    if declared is not None:
        name = ".".join(key.strip().strip("'\"") for key in declared["keys"].split(","))
        first = _line_of(rf"\s*\[\s*{re.escape(name)}\s*\]", above)
        if first:
            return f"[{name}] stands twice: write its keys below the first one, in line {first}"
        at = _line_of(rf"\s*(?:{re.escape(name)}|{re.escape(name.rpartition('.')[2])})\s*[.=]", above)
        place = f", in line {at}" if at else ""
        return f"{name} has a value already{place}: write all its keys there"

    if what == "Cannot overwrite a value":
        key = before.partition("=")[0].strip()
        first = _line_of(rf"\s*{re.escape(key)}\s*[.=]", above)
        return f"{key} stands twice: this key is there already{f', in line {first}' if first else ''}"

    return f"{what}: leave one of them out" if what.startswith("Duplicate inline table key") else ""


def _line_of(pattern: str, rows: list[str]) -> int:
    """The last line that begins so, counted from 1; 0 where there is none."""
    return next((number for number in range(len(rows), 0, -1) if re.match(pattern, rows[number - 1])), 0)


# -- what another language, or a word processor, would have written --------------------------------


def _advice(message: str, before: str, rest: str) -> Iterator[str]:
    """What to do about a message of tomllib, where it tells that, or the text before and at its position."""
    here = rest[:1]
    yield from _of_letter(here)

    match message:
        case "Invalid statement":
            is_comment = rest.startswith(("/", ";"))
            server = "this is no TOML: a server is [servers.NAME]"
            yield f"; {'a comment begins with #' if is_comment else server}"
        case "Invalid value":
            yield _of_value(before, rest)
        case "Unclosed array" if not before.endswith("["):
            yield "; is a comma or a ] missing before this?"
        case "Unclosed inline table":
            yield "; a } is missing at the end" if not rest.strip() else "; a text needs quotes"
        case "Unterminated string":
            yield '; three quotes, """, are missing at its end'

    yield from _of_message(message, before, rest)


def _of_message(message: str, before: str, rest: str) -> Iterator[str]:
    here = rest[:1]
    if message.startswith("Expected ']'"):
        yield "; a server is [servers.NAME], a word without spaces" if here else "; write ] at its end"

    if message.startswith("Expected '='"):
        yield _of_key(before, rest)

    if message.startswith("Expected newline"):
        yield _of_end(before, rest)

    if message.startswith("Invalid initial character for a key part") and before.endswith(("{", ",")):
        yield "; { ... } has to stand on one line, without a comma at its end"

    if message.startswith(r"Illegal character '\n'") or message == 'Expected "\'"':
        yield "; is a quote missing at the end?"

    if "hex value" in message or message.startswith("Unescaped '\\'"):
        yield r"; in double quotes a \ is written \\, in single quotes it is itself"


def _of_letter(here: str) -> Iterator[str]:
    """What to do about a letter that looks like another one."""
    if here in _SMART_QUOTES:
        yield '; write straight quotes, "'
    elif here and not here.isascii():
        import unicodedata  # noqa: PLC0415 - only this message needs it

        name = unicodedata.name(here, "a character")
        yield f"; this is {name} (U+{ord(here):04X}): leave it out, or write it in quotes"


def _of_value(before: str, rest: str) -> str:
    """What to do about what is no value of TOML."""
    if not rest.strip() or rest.startswith("#"):
        is_list = before.endswith(("[", ","))
        return f"; a {'] is missing at its end' if is_list else 'value is missing: write one'}"
    if rest.startswith("<<"):
        return '; TOML has no here-document: lines stand between """ and """'
    if rest.startswith(("=", ">")):
        return "; one = stands between a key and its value"
    if rest.startswith("("):
        return "; a list stands between [ and ]"
    return _bare_word(rest) if _WORD.match(rest) and before.endswith(("=", "[", ",")) else ""


def _bare_word(rest: str) -> str:
    """What to do about a word without quotes where a value should be."""
    alone = _ALONE.fullmatch(rest)
    match alone["word"].lower() if alone else "":
        case "yes" | "on" | "true":
            return "; write true, or quotes around a text"
        case "no" | "off" | "false":
            return "; write false, or quotes around a text"
        case "none" | "null" | "nil":
            return "; TOML has no null: leave the key out"
    return "; a text needs quotes"


def _of_key(before: str, rest: str) -> str:
    """What to do where a key is not followed by `=`."""
    if rest.startswith(":"):
        return "; TOML has = where YAML and a Procfile have :"
    if before.lstrip().startswith("--"):
        return "; a comment begins with #"
    if rest.startswith(('"', "'", "[", "{")) or not rest:
        return f"; write {before.strip()} = ..."
    words = f"{before} {rest}".partition("=")[0].split()
    return f"; a key has no spaces: {'_'.join(words)}?" if "=" in rest else "; each line is KEY = VALUE"


def _of_end(before: str, rest: str) -> str:
    """What to do about what stands behind a value."""
    here = rest[:1]
    if here in {",", ";"}:
        return f"; no {here} stands at the end of a line"
    if here == "+":
        return "; TOML adds nothing: write one text"
    number = re.search(r"=\s*[\d.]*$", before)
    if number and re.fullmatch(r"=\s*0", number[0]) and here.isdigit():
        return "; a number does not begin with 0"
    quote = "a quote in a text needs the other kind of quotes around it"
    return "; a text needs quotes" if number else f"; {quote}"
