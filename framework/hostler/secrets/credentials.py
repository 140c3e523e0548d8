"""What looks like a credential: by the name it stands under, by its form, by the option before it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from functools import lru_cache
from typing import NamedTuple
from urllib.parse import unquote

MINIMUM = 8  # shorter values are not masked: "true" or "admin" would stain every line
MASK = "********"
_MINIMUM_OF_A_LINE = 16

_SECRET = re.compile(
    r"TOKEN|SECRET|PASSWORD|PASSWD|PASSPHRASE|CREDENTIAL|PRIVATE_?KEY|API_?KEY|ACCESS_?KEY|AUTHORIZATION|WEBHOOK"
    r"|(^|_)KEYS?$|(^|_)(PASS|JWT|PAT|BEARER|COOKIES?)$|REQUIREPASS|MASTERAUTH|_PWD$|^AWS_|(^|_)AUTH(?!OR)"
    r"|(^|_)DSN($|_)|CONNECTION_?STRING|CONN_?STR(ING)?$"
    r"|(DATABASE|DB|POSTGRES\w*|PG|MYSQL|MARIADB|MONGO\w*|REDIS|AMQP|RABBITMQ|BROKER|SMTP|SQLALCHEMY\w*)_UR[IL]$"
)
_HARMLESS = re.compile(
    r"SSH_AUTH_SOCK|XAUTHORITY|AWS_(DEFAULT_)?(REGION|PROFILE|OUTPUT)|AWS_(CA_BUNDLE|PAGER|EXECUTION_ENV|SDK_\w+)|"
    r"\w*TOKENIZERS?_\w+|\w*(MAX|MIN|LIMIT|BUDGET|NUM)\w*_TOKENS?|\w*TOKENS?_(LIMIT|BUDGET|COUNT)|"
    r"\w+_(FILE|PATH|DIR|HEADER|NAME|TYPE|TTL|LENGTH)"
)
# What images and tutorials begin with. It protects nothing, and as words of logs they are everywhere.
_WELL_KNOWN = frozenset(
    (
        f"{MASK} password postgres postgresql rabbitmq minioadmin changeme changeit development production "
        "disabled required undefined localhost username anonymous"
    ).split()
)
_URL = (
    r"[A-Za-z][\w+.-]*://(?:(?P<user>[^/?#@:\s]*)(?::(?P<password>[^/?#@\s]*))?@)?[^/?#@\s]*(?P<rest>[^\s]*)"
)
# The scheme has a bound: without one, each letter of a long word would be a start to try to its end.
_PASSWORD_OF_URL = re.compile(r"[A-Za-z][\w+.-]{0,31}://[^/?#@:\s]*:([^/?#@\s]+)@")
_ADDRESS = r"(/[\w.-]{0,31})?"
_SCHEME = r"(?i)(basic|bearer|token|digest|negotiate|apikey|key)\s+(?P<rest>\S.*)"
_PAIR = re.compile(
    r"""(?:^|[\s?&;"'])(?=-{0,2}(?P<name>[A-Za-z_][\w.-]*)(?:=|:[ ]?)["']?"""
    r"""(?:(?:basic|bearer|token)[ ]+)?(?P<value>[^&;"'\s]+))""",
    re.IGNORECASE,
)
_SPACED = re.compile(r"""\s--?(?P<name>[A-Za-z][\w.-]*)\s+["']?(?P<value>[^-\s"';&][^\s"';&]*)""")
_OPTION = re.compile(r"--?[A-Za-z][\w.-]*")
# What comes from elsewhere: a shell, a template or the program puts it in.
_INSERTED = re.compile(r"""["']?([$%{<`@(\[]|[\w.]+\()""")
# `--token-from GITHUB_TOKEN`: where the secret is, and not the secret.
_VARIABLE = re.compile(r"[A-Z][A-Z0-9]*(_[A-Z0-9]+)+")


@lru_cache(maxsize=1024)  # every spawn asks about the same names
def is_secret_name(name: str) -> bool:
    """Tell whether a variable, header or option of this name usually holds a secret.

    X_API_KEY, X-Api-Key and apiKey do, SSH_AUTH_SOCK does not, and neither does PASSWORD_FILE.
    """
    upper = name.upper().replace("-", "_").replace(".", "_")
    return _SECRET.search(upper) is not None and _HARMLESS.fullmatch(upper) is None


def secret_parts(value: str) -> Iterator[str]:
    """What of a secret is to be masked: the value, and what of it is a secret by itself.

    Nothing of what is shorter than `MINIMUM`, a password that everybody knows, or an address without
    credentials. Of a URL with a password the password alone, so that the address can still be read.
    """
    yield from (part for part in _parts(value) if len(part) >= MINIMUM and part not in _WELL_KNOWN)


def is_secret_value(value: str) -> bool:
    """Tell whether there is anything to mask in the value of something with a secret name."""
    return next(secret_parts(value), None) is not None


def is_address(value: str) -> bool:
    """Tell whether a value is a URL in which nothing is to be masked: an address, whatever its name says."""
    return re.fullmatch(_URL, value.strip()) is not None and not is_secret_value(value)


def _parts(value: str) -> Iterator[str]:
    stripped = value.strip()
    if url := re.fullmatch(_URL, stripped):
        yield from _parts_of_url(url)
    elif scheme := re.fullmatch(_SCHEME, stripped):
        yield scheme["rest"]
        yield from _basic(scheme["rest"]) if scheme[1].lower() == "basic" else ()
    else:
        lines = [line.strip() for line in stripped.splitlines()] if "\n" in stripped else []
        yield from (value, stripped)
        yield from (line for line in lines if len(line) >= _MINIMUM_OF_A_LINE and line[:5] != "-----")
        yield from (pair["value"] for pair in _PAIR.finditer(stripped) if is_secret_name(pair["name"]))


def _parts_of_url(url: re.Match[str]) -> Iterator[str]:
    user, password, rest = url["user"] or "", url["password"] or "", url["rest"]
    if password:
        yield password
        yield unquote(password, errors="surrogateescape")
    elif len(user) >= _MINIMUM_OF_A_LINE:  # a token, such as that of a DSN
        yield user

    if 0 < len(password) < MINIMUM or not (user or re.fullmatch(_ADDRESS, rest)):
        yield url[0]

    yield from (pair["value"] for pair in _PAIR.finditer(rest) if is_secret_name(pair["name"]))


def _basic(encoded: str) -> Iterator[str]:
    """The password in an Authorization header of HTTP basic authentication."""
    from base64 import b64decode  # noqa: PLC0415 - few servers have a password

    with suppress(ValueError):  # as binascii.Error and UnicodeDecodeError are
        yield b64decode(encoded, validate=True).decode().partition(":")[2]


def passwords_in(text: str) -> list[str]:
    """The passwords of the URLs in a text: what stands between `user:` and `@`."""
    return _PASSWORD_OF_URL.findall(text)


# -- command lines ---------------------------------------------------------------------------------


class FoundSecret(NamedTuple):
    """A secret in one word of a command line: the name before it, and where it begins and ends."""

    name: str
    start: int
    end: int


def secrets_in_words(words: Iterable[str]) -> Iterator[tuple[str, str]]:
    """The secrets that stand on a command line, each with the name before it.

    `--token=X`, `--token X`, `TOKEN=X`, `Authorization: X`, `?token=X`, and passwords in URLs. What a shell
    or a template puts in, `$TOKEN`, is none.
    """
    for word, found in _searched(words):
        yield from ((one.name, word[one.start : one.end]) for one in found)


def masked_words(words: Iterable[str]) -> list[str]:
    """A command line without the secrets of `secrets_in_words`, however short they are."""
    return [_masked_word(word, found) for word, found in _searched(words)]


def _masked_word(word: str, found: Sequence[FoundSecret]) -> str:
    parts, last = [], 0
    for one in sorted(found, key=lambda one: one.start):
        if one.end > last:
            parts += [word[last : max(last, one.start)], MASK if one.start >= last else ""]
            last = one.end
    return "".join([*parts, word[last:]])


def _searched(words: Iterable[str]) -> Iterator[tuple[str, Sequence[FoundSecret]]]:
    option = ""
    for word in words:
        yield word, _found(word, option)
        option = word.lstrip("-") if _OPTION.fullmatch(word) and is_secret_name(word) else ""


@lru_cache(maxsize=256)  # each restart asks five times for the words of a command
def _found(word: str, option: str) -> Sequence[FoundSecret]:
    return [one for one in _in_word(word, option) if not _is_elsewhere(word, one)]


def _is_elsewhere(word: str, one: FoundSecret) -> bool:
    named = _VARIABLE.fullmatch(word, one.start, one.end)
    return _INSERTED.match(word, one.start) is not None or (named is not None and is_secret_name(named[0]))


def _in_word(word: str, option: str) -> Iterator[FoundSecret]:
    if option and word and not word.startswith("-"):
        yield FoundSecret(option, 0, len(word))

    for password in _PASSWORD_OF_URL.finditer(word):
        yield FoundSecret("a URL", *password.span(1))

    for pattern in (_PAIR, _SPACED):  # the latter in the script of a shell
        for pair in pattern.finditer(word):
            if is_secret_name(pair["name"]):
                yield FoundSecret(pair["name"], *pair.span("value"))
