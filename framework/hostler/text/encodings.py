"""The encoded forms of a text in JSON, HTML, XML, URLs, shells and reprs, by which masking recognises it."""

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
# What is left as it is, beside letters and digits: component, encodeURIComponent, forms, path.
_URL_PARTS = ("", "!'()*~", "*", "/")
_URL_SAFE = (
    *_URL_PARTS,  # then encodeURI, Go's path segments and passwords
    ";,/?:@&=+$!'()*#~",
    "$&+=:@~",
    "$&+,;=~",
    "!$&'()*+,~%",  # passwords of WHATWG, its paths and queries, requests, escape() of JavaScript
    "!$%&'()*+,/:;=@[\\]^|~",
    "!$%&()*+,/:;=?@[\\]^`{|}~",
    "!#$%&'()*+,/:;=?@[]~",
    "@*+/",
)
# What gets a backslash: bash (four ways), MySQL and PHP, Perl (two ways), properties, Node and sed.
_BACKSLASHED = (
    r'([\\"$`])',
    r'([\\"$`!])',
    r"([^\w@%+=:./#~-])",
    r"([^\w@%+=:,./-])",
    r"""([\\'"])""",
    r"([\\'])",
    r'([\\"$@])',
    r"([\\=:#!])",
    r"(\\)",
)
_ENTITIES = (
    lambda found: f"&#{ord(found[0])};",
    lambda found: f"&#x{ord(found[0]):X};",
    lambda found: f"&#x{ord(found[0]):x};",
)
# Octal digits of its bytes, \u and four digits, and \x.
_CODES = (
    lambda found: "".join(f"\\{byte:03o}" for byte in found[0].encode(errors="replace")),
    lambda found: json.dumps(found[0])[1:-1].upper().replace("\\U", "\\u"),
    lambda found: found[0].encode("ascii", "backslashreplace").decode(),
)
_CONTROLS: Mapping[int, str] = MappingProxyType(
    {ord(letter): f"\\{name}" for letter, name in zip("\n\r\t\a\b\f\v", "nrtabfv", strict=True)}
)


def spellings(text: str) -> Iterator[str]:
    """The text as it is, and as common programs write it, once or twice; some come more than once.

    Base64, hexadecimal and the like are not among them: nothing of the text is left there.
    """
    yield text

    if _UNCHANGED.fullmatch(text) is None:
        plain = text.encode(errors="surrogateescape").decode(errors="replace")
        literals = {*_in_json(text), *_in_reprs(text)}
        urls, quoted = {*_in_urls(text)}, {*_with_entities(plain)}
        yield from literals | urls
        yield from _in_markup(plain)
        yield from _in_shells(plain)
        for one in literals | quoted:
            yield from _in_json_again(one)
        for one in literals | quoted | urls:
            yield from _with_entities(one)
        in_json = (json.dumps(text, ensure_ascii=ascii_only)[1:-1] for ascii_only in (True, False))
        for one in {*_of_url_parts(text), *quoted, *in_json}:
            yield from _of_url_parts(one)


def _in_json_again(one: str) -> Iterator[str]:
    for ascii_only in (True, False):
        again = json.dumps(one, ensure_ascii=ascii_only)[1:-1]
        yield from (again, again.replace("/", "\\/"), _with_codes(again, "<>&"))


def _in_json(text: str) -> Iterator[str]:
    """As Python, Go, Flask, Gson, .NET and PHP write it."""
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
        yield from _in_url(text, safe)


def _of_url_parts(text: str) -> Iterator[str]:
    for safe in _URL_PARTS:
        yield from _in_url(text, safe)


def _in_url(text: str, safe: str) -> Iterator[str]:
    quoted = quote(text, safe=safe, errors="surrogateescape")
    for one in (quoted, quoted.replace("~", "%7E")):
        for spaced in (one, one.replace("%20", "+")):
            yield spaced
            yield _URL_ESCAPE.sub(lambda found: found[0].lower(), spaced)


def _with_entities(text: str) -> Iterator[str]:
    escaped = html.escape(text, quote=False)
    quotes = _QUOTES if '"' in text or "'" in text else _QUOTES[:1]
    yield from (escaped.replace('"', double).replace("'", single) for double, single in quotes)


def _in_markup(text: str) -> Iterator[str]:
    for one in _with_entities(text):
        yield one
        yield one.replace(">", "&gt;").replace("/", "&#x2F;").replace("=", "&#x3D;").replace("`", "&#x60;")
        for entity in (_named, *_ENTITIES[:2]):
            yield _NOT_ASCII.sub(entity, one)
    for entity in _ENTITIES:
        yield _MARKUP.sub(entity, text)


def _named(found: re.Match[str]) -> str:
    name = codepoint2name.get(ord(found[0]))
    return f"&#{ord(found[0])};" if name is None else f"&{name};"


def _in_shells(text: str) -> Iterator[str]:
    """Between quotes, after backslashes, as $'...' of bash; the same of SQL, CSV, Perl, Node, properties."""
    yield shlex.quote(text).strip("'")
    yield text.replace("'", "'\\''")
    yield text.replace("'", "\\'")
    yield text.replace("'", "''")
    yield text.replace('"', '""')

    for special in _BACKSLASHED:
        escaped = re.sub(special, r"\\\1", text)
        for one in (escaped, escaped.translate(_CONTROLS)):
            yield one
            if not one.isascii():
                yield from (_NOT_ASCII.sub(code, one) for code in _CODES)
