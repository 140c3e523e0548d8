"""How programs write a text that they have to escape: in JSON, HTML, XML, URLs, shells and reprs."""

from __future__ import annotations

import html
import json
import re
import shlex
from collections.abc import Iterator, Mapping
from html.entities import codepoint2name
from types import MappingProxyType
from urllib.parse import quote

_UNCHANGED = re.compile(r"[A-Za-z0-9_.~-]*")  # what nobody escapes
_JSON_ESCAPE = re.compile(r"\\u[0-9a-f]{4}")
_URL_ESCAPE = re.compile(r"%[0-9A-F]{2}")
_NOT_ASCII = re.compile(r"[^\x00-\x7f]")
_MARKUP = re.compile(r"[^A-Za-z0-9 _.~-]")

# How the quotes are written: Python; text alone; attributes; XML; Jinja and Go; Django and JavaScript; PHP.
_QUOTES = (
    ("&quot;", "&#x27;"),
    ('"', "'"),
    ("&quot;", "'"),
    ("&quot;", "&apos;"),
    ("&#34;", "&#39;"),
    ("&quot;", "&#39;"),
    ("&quot;", "&#039;"),
)
# What is left as it is, beside letters and digits: component, path, encodeURIComponent, encodeURI, forms,
# Go's path segments and passwords.
_URL_SAFE = ("", "/", "!'()*~", ";,/?:@&=+$!'()*#~", "*", "$&+=:@~", "$&+,;=~")
_NAMED: Mapping[int, str] = MappingProxyType(
    {ord(letter): f"\\{name}" for letter, name in zip("\\'\n\r\t\a\b\f\v", "\\'nrtabfv", strict=True)}
)


def spellings(text: str) -> Iterator[str]:
    """The text as it is, and as common programs write it; some come more than once.

    Base64, hexadecimal and the like are not among them: nothing of the text is left there.
    """
    yield text

    if _UNCHANGED.fullmatch(text) is None:
        plain = text.encode(errors="surrogateescape").decode(errors="replace")
        yield from _in_json(text)
        yield from _in_reprs(text)
        yield from _in_urls(text)
        yield from _in_markup(plain)
        yield from _in_shells(plain)


def _in_json(text: str) -> Iterator[str]:
    """As Python, Go, Flask, Gson, .NET and PHP write it, and that (or a Python repr) once more in JSON."""
    once = {*_json(text)}
    yield from once

    for one in {*once, repr(text)[1:-1]}:
        again = json.dumps(one, ensure_ascii=False)[1:-1]
        yield from (again, again.replace("/", "\\/"), _with_codes(again, "<>&"))


def _json(text: str) -> Iterator[str]:
    for ascii_only in (True, False):
        written = json.dumps(text, ensure_ascii=ascii_only)[1:-1]

        for letters in ("", "<>&", "<>&'", "<>&'=", "<>&'+"):
            escaped = _with_codes(written, letters)
            yield escaped
            yield _JSON_ESCAPE.sub(lambda found: f"\\u{found[0][2:].upper()}", escaped)

        yield written.replace("/", "\\/")


def _with_codes(text: str, letters: str) -> str:
    for letter in letters:
        text = text.replace(letter, f"\\u{ord(letter):04x}")

    return text


def _in_reprs(text: str) -> Iterator[str]:
    yield repr(text)[1:-1]
    yield ascii(text)[1:-1]
    yield repr(text.encode(errors="surrogateescape"))[2:-1]


def _in_urls(text: str) -> Iterator[str]:
    for safe in _URL_SAFE:
        quoted = quote(text, safe=safe, errors="surrogateescape")

        for one in (quoted, quoted.replace("~", "%7E")):
            for spaced in (one, one.replace("%20", "+")):
                yield spaced
                yield _URL_ESCAPE.sub(lambda found: found[0].lower(), spaced)


def _in_markup(text: str) -> Iterator[str]:
    escaped = html.escape(text, quote=False)

    for double, single in _QUOTES:
        one = escaped.replace('"', double).replace("'", single)
        yield one
        yield one.replace(">", "&gt;").replace("/", "&#x2F;").replace("=", "&#x3D;").replace("`", "&#x60;")

        for entity in (_named, _decimal, _hexadecimal):
            yield _NOT_ASCII.sub(entity, one)

    for entity in (_decimal, _hexadecimal, _small_hexadecimal):
        yield _MARKUP.sub(entity, text)


def _named(found: re.Match[str]) -> str:
    name = codepoint2name.get(ord(found[0]))
    return _decimal(found) if name is None else f"&{name};"


def _decimal(found: re.Match[str]) -> str:
    return f"&#{ord(found[0])};"


def _hexadecimal(found: re.Match[str]) -> str:
    return f"&#x{ord(found[0]):X};"


def _small_hexadecimal(found: re.Match[str]) -> str:
    return f"&#x{ord(found[0]):x};"


def _in_shells(text: str) -> Iterator[str]:
    """Between quotes, after backslashes, as $'...' of bash; and between the quotes of SQL and CSV."""
    yield shlex.quote(text).strip("'")
    yield text.replace("'", "'\\''")
    yield text.replace("'", "\\'")
    yield text.replace("'", "''")
    yield text.replace('"', '""')

    for special in (r'([\\"$`])', r'([\\"$`!])', r"([^\w@%+=:./#~-])", r"([^\w@%+=:,./-])"):
        yield re.sub(special, r"\\\1", text)

    ansi = text.translate(_NAMED)
    yield ansi
    yield _NOT_ASCII.sub(_octal, ansi)


def _octal(found: re.Match[str]) -> str:
    return "".join(f"\\{byte:03o}" for byte in found[0].encode(errors="replace"))
