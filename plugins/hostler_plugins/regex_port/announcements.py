"""Finds the endpoint that a server announces in a line of its output, whatever the server.

Every place in a line that could be an endpoint is a candidate; the words around it decide. "listening
on", "available at" and the like speak for it; failures, connections to others, clients, proxies and
side doors (metrics, live reload, debuggers, peers) speak against it; the nearest word wins.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from itertools import islice, pairwise
from typing import NamedTuple

from hostler import Endpoint

from hostler_plugins.regex_port import patterns
from hostler_plugins.regex_port.patterns import Kind, regex

_LINE = 8192  # the engine cuts lines here; other callers may not
_NUMBERS, _CANDIDATES = 64, 16  # looked at in one line: an announcement does not hide behind more
_BEFORE, _AFTER = 240, 60  # characters around a candidate that have a say
_NO_HOST = "127.0.0.1"


class _Candidate(NamedTuple):
    """A place in a line that could be an endpoint; `host` is "" where the place names none."""

    kind: Kind
    host: str
    port: int
    scheme: str
    start: int
    end: int


def find_endpoint(text: str) -> Endpoint | None:
    """Find the endpoint that a line (or the first of several lines) announces, None where none does.

    One of a debugger counts, too; it is marked `aside`, for the server may be another.

    The host is as announced, IPv6 without brackets, 127.0.0.1 where only a port is named; the scheme
    is that of the line, else the server's own. Takes time linear in the text, of which each line's
    first 8 KiB count.
    """
    lines = re.split(r"[\r\n]+", text) if "\n" in text or "\r" in text else (text,)
    return next((found for line in lines if (found := _in_line(plain(line)))), None)


def plain(line: str) -> str:
    """The line as a reader sees it: without colour codes and other control characters, cut at 8 KiB."""
    line = line[:_LINE]
    if "\\" in line:
        line = line.replace("\\/", "/")
    elif line.isprintable():
        return line
    return regex(patterns.CONTROL).sub(lambda found: " " if found["gap"] else "", line)


def parse_address(text: str) -> Endpoint | None:
    """Read "scheme://host:port/..." or "host:port" at a text's start; http and ws may leave out the port."""
    found = regex(patterns.ADDRESS).match(text)
    candidate = found and _candidate(found, "url")
    if candidate:
        return endpoint(candidate.host or _NO_HOST, candidate.port, _scheme(candidate, "", ""))

    short = re.match(
        r"(https?|wss?)://(\[[0-9a-fA-F:.]+\]|[\w.-]+)(?![\w.:-])", text, re.IGNORECASE | re.ASCII
    )
    if short is None:
        return None

    scheme = short[1].lower()
    return Endpoint(short[2].strip("[]"), 443 if scheme in {"https", "wss"} else 80, scheme)


def _in_line(line: str) -> Endpoint | None:
    candidates = sorted(islice(_candidates(line), _CANDIDATES), key=lambda candidate: candidate.start)
    if not candidates or _says(_words(line), patterns.FAILURES) or regex(patterns.REQUEST).search(line):
        return None

    message = regex(patterns.MESSAGE).search(line)

    for candidate in candidates:
        before = line[max(0, candidate.start - _BEFORE) : candidate.start]
        after = line[candidate.end : candidate.end + _AFTER]
        if _is_announced(candidate, before, after, message):
            host = candidate.host or _host_beside(candidate, before, after)
            found = endpoint(host, candidate.port, _scheme(candidate, before, after))
            return replace(found, aside=True) if _says(_words(line), patterns.DEBUGGERS) else found

    return None


def endpoint(host: str, port: int, scheme: str) -> Endpoint:
    """An endpoint; an empty scheme is none, for which the server's own is taken."""
    return Endpoint(host, port, scheme) if scheme else Endpoint(host, port)


def _candidates(line: str) -> Iterator[_Candidate]:
    for number in islice(regex(patterns.COLON_NUMBER).finditer(line), _NUMBERS):
        start = (
            max(line.rfind(mark, max(0, number.start() - _BEFORE), number.start()) for mark in " ='\"(,") + 1
        )
        found = regex(patterns.ADDRESS).search(line, max(start, number.start() - _BEFORE), number.end() + 2)
        if found and (
            candidate := _candidate(found, "url" if found["url"] or found["object"] else "address")
        ):
            yield candidate

    if not regex(patterns.LONE_NUMBER).search(line):
        return

    lowered = line.lower()

    for hints, form, kind in patterns.FORMS:
        if any(hint in lowered for hint in hints):
            yield from filter(None, (_candidate(found, kind) for found in regex(form).finditer(line)))


def _candidate(found: re.Match[str], kind: Kind) -> _Candidate | None:
    parts = found.groupdict()
    host, scheme = (parts.get("host") or "").strip("[]"), (parts.get("scheme") or "").lower()
    host = "" if host.lower() in patterns.NOT_A_HOST else host
    port = int(parts["port"])
    if port > 65535 or scheme == "unix" or (":" in host and not _is_ip(host)):
        return None
    if kind == "address" and not _is_stated(host, found.string[max(0, found.start() - 40) : found.start()]):
        return None

    start = found.start("port") if kind == "port" else found.start()
    return _Candidate(kind, host, port, scheme, start, found.end())


def _is_stated(host: str, before: str) -> bool:
    """Whether a name with a number behind it is meant as a host, not as `main.go:116` or `server:331`."""
    if host in {"", "*", "+", "0", "localhost"} or _is_ip(host):
        return True
    return bool(regex(patterns.PREPOSITION).search(before)) and not regex(patterns.SOURCE_FILE).search(host)


def _is_ip(host: str) -> bool:
    import socket  # noqa: PLC0415 - who only checks a configuration has no line to read

    for family in (socket.AF_INET, socket.AF_INET6):
        try:
            socket.inet_pton(family, host.partition("%")[0])
        except OSError:
            continue
        return True
    return False


def _is_announced(candidate: _Candidate, before: str, after: str, message: re.Match[str] | None) -> bool:
    """Whether the words around a candidate say that the server can be reached there."""
    if regex(patterns.UNSAID_AFTER).match(after) or regex(patterns.NOT_OURS).search(before[-80:]):
        return False
    if message and not message.start() <= candidate.start < message.end():
        return _is_announced_field(candidate, before, message["quoted"] or message["bare"])

    before = regex(patterns.STARTED_BROKER).sub("started", before)
    sentence = _sentence(before)
    words = _words(sentence)
    if _is_side_door(words) or _is_to_read(candidate, before, after):
        return False
    if candidate.scheme in patterns.STORES and _says(words, patterns.WORKERS):
        return False

    # "ready for connections. Version: 8.0  port: 3306": a port alone may follow sentences later.
    verdict = _verdict(words if candidate.kind != "port" else _words(before))
    return _speaks_for_itself(candidate, sentence, after) if verdict is None else verdict


def _is_announced_field(candidate: _Candidate, before: str, message: str) -> bool:
    """Whether a structured line's message says that the server can be reached at one of its fields."""
    words = _words(message)
    if _is_side_door(words):
        return False
    if candidate.kind == "address" and not regex(patterns.ADDRESS_KEY).search(before):
        return False
    return bool(_verdict(words))


def _speaks_for_itself(candidate: _Candidate, sentence: str, after: str) -> bool:
    """Whether a candidate that no word speaks for or against is an announcement by its form."""
    if candidate.kind == "url":
        return candidate.scheme not in patterns.STORES and _is_near(candidate.host)
    if regex(patterns.SAID_AFTER).match(after):
        return True
    if candidate.kind == "port":
        return bool(regex(patterns.PORT_LABEL).search(sentence))
    return bool(regex(patterns.LABEL).search(sentence)) or not (sentence + after).strip(patterns.BULLETS)


def _is_near(host: str) -> bool:
    """Whether a host is this machine or its network by its looks: an address, or a name without a domain."""
    return "." not in host or _is_ip(host) or host.lower().endswith((".localhost", ".local", ".test", ".lan"))


def _sentence(text: str) -> str:
    return text[max((found.end() for found in regex(patterns.SENTENCE_END).finditer(text)), default=0) :]


def _words(text: str) -> list[str]:
    return regex(patterns.WORD).findall(text.lower())


def _says(words: list[str], phrases: frozenset[str]) -> bool:
    if not phrases.isdisjoint(words):
        return True
    return not phrases.isdisjoint(map(" ".join, pairwise(words)))


def _is_to_read(candidate: _Candidate, before: str, after: str) -> bool:
    """Whether a URL is one where something can be read ("visit URL for help"), and no server is spoken of."""
    if candidate.kind != "url" or _says(_words(_sentence(before)), patterns.ANNOUNCING - patterns.LEADING):
        return False
    rest = regex(patterns.SENTENCE_END).split(after.partition(" ")[2], maxsplit=1)[0]
    rest = "" if "browser" in rest else rest
    return bool(regex(patterns.TO_READ).search(f"{before} | {rest}"))


def _is_side_door(words: list[str]) -> bool:
    return _says(words, patterns.SIDE_DOORS) or ("udp" in words and "tcp" not in words)


def _verdict(words: list[str]) -> bool | None:
    """What the last word that counts means: announced here, somebody else's, or nothing."""
    for index in range(len(words) - 1, -1, -1):
        for phrase in (" ".join(words[max(0, index - 1) : index + 1]), words[index]):
            if phrase in patterns.OTHERS or phrase in patterns.ANNOUNCING:
                return phrase in patterns.ANNOUNCING
    return None


def _host_beside(candidate: _Candidate, before: str, after: str) -> str:
    beside = regex(patterns.HOST_BESIDE).search(f"{before}:{after}") if candidate.kind == "port" else None
    return beside["host"] if beside else _NO_HOST


def _scheme(candidate: _Candidate, before: str, after: str) -> str:
    """The scheme that a line names; "" where it names none."""
    scheme = candidate.scheme.partition("+")[0]
    if scheme in patterns.SECURE_SCHEMES:
        return "https"
    if scheme and scheme not in patterns.PLAIN_SCHEMES:
        return scheme
    secure = not scheme and ("https" in _words(_sentence(before)) or regex(patterns.HTTPS_AFTER).match(after))
    return "https" if secure else ""
