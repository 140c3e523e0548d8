"""regex-port: finds the scheme, host and port that a server announces in its output, whatever the server.

Every place in a line that could be an endpoint is a candidate; the words around it decide. "listening
on", "available at" and the like speak for it; failures, connections to others, clients, proxies and
side doors (metrics, live reload, debuggers, peers) speak against it; the nearest word wins.
"""

from __future__ import annotations

import re
import socket
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cache
from itertools import islice
from typing import Literal, TypeAlias

from hostler import Endpoint, StreamName, hookimpl, option

Kind: TypeAlias = Literal["url", "address", "port"]

_LINE = 8192  # the engine cuts lines here; other callers may not
_CANDIDATES = 16  # asked in one line: an announcement does not hide behind more
_WINDOW = 240  # characters before a candidate that have a say
_NO_HOST = "127.0.0.1"

_CONTROL = r"""
    (?: \x1b | \\u001b | \\x1b | \\033 ) \[ [0-9;:]* m              # colours, also as escaped in JSON
    | (?P<gap> (?: \x1b\[ | \x9b ) [0-?]* [ -/]* [@-~]              # cursor moves: what they part stays parted
             | \x1b\] [^\x07\x1b]{0,2048} (?: \x07 | \x1b\\ )?      # titles, hyperlinks
             | \x1b [ -/]* [0-~] | \t )
    | [\x00-\x08\x0b\x0c\x0e-\x1f\x7f\u200b-\u200f\ufeff]"""

# A number that is no time of day, date, version, or line of a file: the quick look at every line.
_NUMBER = r"""
    (?: :(?<![0-9]T[0-9]{2}:) (?<!:[0-9]{2}:) (?<![\s\[T][0-9]{2}:)  | [\s="'(/>{\[-] )
    [1-9][0-9]{1,4} (?! [0-9A-Za-z_] | [.:,/-][0-9] )"""

_PORT = r"(?P<port> [1-9][0-9]{0,4} ) (?! [0-9A-Za-z_] | [.:][0-9] | -[0-9A-Za-z] )"
_IPV4 = r"[0-9]{1,3} (?: \.[0-9]{1,3} ){3}"
_IPV6 = r"[0-9a-f]{0,4} (?: :[0-9a-f]{0,4} ){2,8}"
_NAME = r"[a-z_] [a-z0-9_.-]{0,80}"

_ADDRESS = rf"""
    (?: (?: (?<! [a-z0-9+.-] ) (?P<scheme> [a-z][a-z0-9+.]{{1,15}} ) : )? (?P<url> // )
        (?: [^\s/@:"'<>]{{1,60}} (?: :[^\s/@"'<>]{{0,60}} )? @ )? )?
    (?P<host> \[ [0-9a-z:.%_-]{{1,60}} \]
            | (?<! [0-9a-z.:-] ) {_IPV6}
            | (?<! [0-9a-z.-] ) {_IPV4}
            | (?<! [0-9a-z_.@-] ) (?: (?<! / ) | (?<= // ) ) {_NAME}
            | (?<! [^\s"'(=\[/{{] ) (?<! \w["'] ) [*+.0]? )
    : {_PORT}"""
_TUPLE = rf"""\( \s* ['"]? (?P<host> {_IPV4} | {_IPV6} | {_NAME} | ) ['"]? , \s* {_PORT} \s* [,)]"""
_MULTIADDR = rf"""/ (?: ip[46] | dns[46]? ) / (?P<host> [^\s/]{{1,80}} ) /tcp/ {_PORT}"""
_CONNECTOR = rf"""["'] (?P<scheme>https?) - [a-z0-9]{{2,12}} - (?: (?P<host> {_IPV4} | {_NAME} ) - )? {_PORT} ["']"""
_PORT_SAID = rf"""
    (?<! [\w-] ) (?: [a-z]{{1,12}} [_-] )? ports? (?: \(s\) )? ["']? \s*
    (?: (?: => | [:=\#] | is | number ) \s* ){{0,3}} ["'(\[{{]{{0,3}} {_PORT}"""
_BARE_PORT = rf"""
    \b (?: on | at | to | listening | listen ) (?: \s* : \s* | \s+ ) {_PORT}
    (?= \s* (?: $ | [,;!()\[\]"'|\u2026] | \. (?: [\s."'] | $ ) | [-\u2013\u2014]\s
              | (?: for | with | in | via | and | using | over )\b ) )"""

# What must stand in a line for a form to be looked for: a cheap test in front of each pattern.
_FORMS: tuple[tuple[str, str, Kind], ...] = (
    (":", _ADDRESS, "address"),
    ("(", _TUPLE, "address"),
    ("/tcp/", _MULTIADDR, "address"),
    ("http", _CONNECTOR, "port"),
    ("port", _PORT_SAID, "port"),
    (" ", _BARE_PORT, "port"),
)

_HOST_BESIDE = rf"""
    \b (?: on | at | host | hostname | address | addr | bind | i?face | interface | ip ) \b
    (?: \s (?: tcp | ipv[46] | ip | address ) ){{0,2}} ["']? \s* [=:]? \s* ["'(\[]{{0,3}}
    (?P<host> {_IPV4} | {_IPV6} (?<= [0-9a-f:] ) | localhost | \* )"""

_WORD = r"[a-z][a-z0-9]*(?:['\u2019][a-z]+)?"
_ANNOUNCING = frozenset(
    "listen listens listened listening listener listeners serve serves served serving run runs running "
    "start starts started starting ready accept accepts accepting available accessible bound bind binds binding "
    "open opens opened opening launch launched launching expose exposed exposing exporting awaiting online live "
    "hosting hosted deployed publish published publishing respond responds responding visit view access browse "
    "browser navigate initialized connections requests clients".split()
) | {"listener connection", "is up", "now up", "up on", "up at", "waiting on", "stage on", "enabled on", "forwarding from"}  # fmt: skip
_OTHERS = frozenset(
    "connecting connected connection reconnect reconnecting reconnected proxy proxying proxied proxies upstream upstreams "
    "backend backends target targets fetch fetching fetched download downloading requesting requested send sending sent "
    "ping pinging poll polling checking try trying retry retrying register registering registered join joining joined "
    "subscribe subscribing resolve resolving resolved curl wget broker seed seeds overriding override ignoring ignored "
    "skip skipping skipped previously disabled example origin origins cors instead redirect redirecting redirected "
    "stopping stopped closing closed disconnected".split()
) | {"connections to", "connections from", "connection to", "requests to", "requests from", "waiting for", "wait for",
     "forward to", "forwarding to", "forwarded to", "shut down", "shutting down", "traces to", "spans to", "logs to"}  # fmt: skip
_FAILURES = frozenset(
    "refused fail fails failed failing failure error fatal panic exception cannot can't can\u2019t couldn't couldn\u2019t unable "
    "denied unreachable unavailable occupied eaddrinuse eaddrnotavail eacces econnrefused econnreset etimedout".split()
) | {"in use", "could not", "timed out", "not reachable", "not responding", "not listening", "not permitted", "not free",
     "is taken", "already bound", "already listening", "already running", "already taken", "already started",
     "stopped listening", "stop listening", "closing listener", "closed listener", "no longer"}  # fmt: skip
_SIDE_DOORS = frozenset(
    "livereload hmr metrics metric admin administration administrative management debugger pprof peer peers p2p gossip raft "
    "intracluster intercluster interserver jmx monitor monitoring profiler telemetry replication healthcheck".split()
) | {"live reload", "hot reload", "hot module", "debug and", "debug endpoint", "debug port", "debug adapter", "dt socket",
     "cluster address", "cluster addr", "cluster bus", "cluster port", "cluster communication", "cluster listener",
     "cluster connections", "cluster connection", "route connections", "health server", "health port", "probe server",
     "control port", "control socket", "control server", "control channel"}  # fmt: skip

_REQUEST = r"""\b (?-i: GET | POST | PUT | PATCH | DELETE | HEAD ) \s+ (?: / | https?: ) | \bHTTP/[12] (?: \.[01] )? ["']"""
_NOT_OURS = r"""
    (?<! launched\s ) (?<! forwarding\s ) (?<! served\s ) \b from [\s=:]+
        (?: (?: client | user | peer | host | ip | address ) \s* )* ["'(\[/<]* $
    | \b (?: client | remote | peer | src | dst | source | destination | host | referer | location | issuer | registry
           | webhook | callback | leader | master ) (?: [\s_-]? (?: addr | address | ip | host | url | uri | port ) ){0,2}
        ["']? \s* [:=] \s* ["'(\[]* $
    | \b (?: options? | config | configuration | settings? | args | arguments | namespace | env | environment | flags?
           | usage | command ) \s* [:=({]
    | \b (?: database | db | redis | postgres | postgresql | mysql | mongo | mongodb | kafka | zookeeper | rabbitmq | cache )
        (?: [\s_] (?: url | uri | host | server ) )? \s* [:=@]
    | \S*[/:0-9]\S* \s* (?: -> | => | \u2192 ) \s* $
    | (?: ^ | \s ) --? [a-z] [\w-]* [\s=]* $
    | \b defaults? (?: \s (?: is | to ) )? \s* [:=]? \s* $"""
_LABEL = r"""
    (?: ^ | [\s\]>|*\u2502-] ) (?: addr | address | url | endpoint | local | network | bind | listen ) (?: \s\d )?
    \s* [:=\u2502] \s* ["'\[({]* $"""
_SAID_AFTER = r"[^\w]{0,3} \s* (?: (?: is | was | has | now | been ) \s+ )* (?: bound | listening | ready | started | starting | opened | open | online | up ) \b"  # fmt: skip
_UNSAID_AFTER = r"""
    ["')\]]* \? (?: \s | $ )
    | [^\w]{0,3} \s* (?: (?: is | was | has | been ) \s+ )* (?: closed | stopped | accepted | closing | disconnected ) \b
    | [\s(/]{1,2} udp \b (?! [+/,]tcp ) | \s* network=udp"""
_MESSAGE = r"""
    (?: " (?: msg | message | event | info ) " \s* : \s* | \b (?: msg | message | event ) = )
    (?: " (?P<quoted> (?: [^"\\] | \\. ){1,400} ) | (?P<bare> [^\s"]{1,80} ) )"""
_SENTENCE_END = r"[.;!] \s+ (?= \S ) | \s [|] \s"
_ADDRESS_KEY = r"""(?: \b | _ ) (?: addr | address | listen | bind | endpoint | url | uri | http | https | server | on ) ["']? \s* [:=]+ >? \s* ["'(\[{]* $"""
_PREPOSITION = r"""\b (?: on | at | to | address | addr | listen | endpoint ) [\s"'=:(]* $"""
_SOURCE_FILE = r"\. (?: [cm]?[jt]sx? | py | go | rs | rb | java | kt | cc? | cpp | h | php | exs? | erl | cs | scala | lua ) $"

_NOT_A_HOST = frozenset("on at to port tcp tcp4 tcp6 http https ws ip ipv4 ipv6 listening address addr .".split())
_STORES = frozenset("postgres postgresql mysql mongodb redis rediss amqp amqps kafka ldap smtp jdbc".split())
_SCHEMES = {"tcp": "http", "tcp4": "http", "tcp6": "http", "ssl": "https", "tls": "https"}
_BULLETS = " \t-*>=\u279c\u2192\u27a4\u203a\u2022\u2502\u2503|_.`'/\\"


@dataclass(frozen=True, slots=True)
class _Candidate:
    """A place in a line that could be an endpoint; `host` is "" where the place names none."""

    kind: Kind
    host: str
    port: int
    scheme: str
    start: int
    end: int


def find_endpoint(text: str) -> Endpoint | None:
    """Find the endpoint that a line (or the first of several lines) announces, None where none does.

    The host is as announced, IPv6 without brackets, 127.0.0.1 where only a port is named; the scheme
    is "http" unless the line says otherwise. Takes time linear in the text, of which each line's
    first 8 KiB count.
    """
    lines = re.split(r"[\r\n]+", text) if "\n" in text or "\r" in text else (text,)

    for raw in lines:
        line = plain(raw)
        found = _in_line(line) if _search(_NUMBER, line) else None

        if found is not None:
            return found

    return None


def plain(line: str) -> str:
    """The line as a reader sees it: without colour codes and other control characters, cut at 8 KiB."""
    line = line[:_LINE]

    if "\\" in line:
        line = line.replace("\\/", "/")
    elif line.isprintable():
        return line

    return _regex(_CONTROL).sub(lambda found: " " if found["gap"] else "", line)


@cache
def _regex(pattern: str) -> re.Pattern[str]:
    """Compiled when it is first needed: importing a plugin costs nothing."""
    return re.compile(pattern, re.VERBOSE | re.IGNORECASE | re.ASCII)


def _search(pattern: str, text: str) -> re.Match[str] | None:
    return _regex(pattern).search(text)


def _in_line(line: str) -> Endpoint | None:
    candidates = sorted(islice(_candidates(line), _CANDIDATES), key=lambda candidate: candidate.start)

    if not candidates or _says(_words(line), _FAILURES) or _search(_REQUEST, line):
        return None

    message = _search(_MESSAGE, line)

    for candidate in candidates:
        if _announced(line, candidate, message):
            return _endpoint(line, candidate)

    return None


def _candidates(line: str) -> Iterator[_Candidate]:
    lowered = line.lower()

    for hint, form, kind in _FORMS:
        if hint in lowered:
            for found in _regex(form).finditer(line):
                candidate = _candidate(found, kind)

                if candidate is not None:
                    yield candidate


def _candidate(found: re.Match[str], kind: Kind) -> _Candidate | None:
    parts = found.groupdict()
    host, scheme = (parts.get("host") or "").strip("[]"), (parts.get("scheme") or "").lower()
    host = "" if host.lower() in _NOT_A_HOST else host
    port = int(parts["port"])

    if parts.get("url"):
        kind = "url"

    if port > 65535 or scheme == "unix" or (":" in host and not _is_ip(host)):
        return None

    if kind == "address" and not _is_stated(found.string[: found.start()][-40:], host):
        return None

    start = found.start("port") if kind == "port" else found.start()
    return _Candidate(kind, host, port, scheme, start, found.end())


def _is_stated(before: str, host: str) -> bool:
    """Whether a name with a port behind it is meant as a host, not as `main.go:116` or `server:331`."""
    if not host or host in {"*", "+", "0", "localhost"} or _is_ip(host):
        return True

    return _search(_PREPOSITION, before) is not None and _search(_SOURCE_FILE, host) is None


def _is_ip(host: str) -> bool:
    for family in (socket.AF_INET, socket.AF_INET6):
        try:
            socket.inet_pton(family, host.partition("%")[0])
        except (OSError, ValueError):
            continue

        return True

    return False


def _announced(line: str, candidate: _Candidate, message: re.Match[str] | None) -> bool:
    """Whether the words around a candidate say that the server can be reached there."""
    before = line[max(0, candidate.start - _WINDOW) : candidate.start]
    after = line[candidate.end : candidate.end + 60]

    if _regex(_UNSAID_AFTER).match(after) or _search(_NOT_OURS, before[-80:]):
        return False

    is_field = message is not None and not message.start() <= candidate.start < message.end()
    sentence = _message(message) if message is not None and is_field else _sentence(before)
    words = _words(sentence)

    if _says(words, _SIDE_DOORS) or ("udp" in words and "tcp" not in words):
        return False

    verdict = _verdict(words if candidate.kind != "port" or is_field else _words(before))

    if verdict is not None:
        return verdict and (not is_field or candidate.kind != "address" or _search(_ADDRESS_KEY, before) is not None)

    return _speaks_for_itself(candidate, sentence, after)


def _speaks_for_itself(candidate: _Candidate, sentence: str, after: str) -> bool:
    """Whether a candidate that no word speaks for or against is an announcement by its form."""
    if candidate.kind == "url":
        return candidate.scheme not in _STORES and _is_near(candidate.host)

    if _regex(_SAID_AFTER).match(after):
        return True

    if candidate.kind == "port":
        return _search(r"(?: ^ [^a-z]* port \s* : | \( port ) \s* $", sentence) is not None

    return _search(_LABEL, sentence) is not None or not (sentence + after).strip(_BULLETS)


def _message(found: re.Match[str]) -> str:
    return found["quoted"] or found["bare"] or ""


def _sentence(text: str) -> str:
    return text[max((found.end() for found in _regex(_SENTENCE_END).finditer(text)), default=0) :]


def _words(text: str) -> list[str]:
    return _regex(_WORD).findall(text.lower())


def _says(words: list[str], phrases: frozenset[str]) -> bool:
    return not phrases.isdisjoint(words) or not phrases.isdisjoint(map(" ".join, zip(words, words[1:], strict=False)))


def _verdict(words: list[str]) -> bool | None:
    """What the nearest word that has a say tells: announced, somebody else's, or nothing."""
    for index in range(len(words) - 1, -1, -1):
        for phrase in (" ".join(words[max(0, index - 1) : index + 1]), words[index]):
            if phrase in _OTHERS or phrase in _ANNOUNCING:
                return phrase in _ANNOUNCING

    return None


def _is_near(host: str) -> bool:
    """Whether a host is this machine or its network by its looks: an address, or a name without a domain."""
    return "." not in host or _is_ip(host) or host.lower().endswith((".localhost", ".local", ".test", ".lan"))


def _endpoint(line: str, candidate: _Candidate) -> Endpoint:
    before, after = line[max(0, candidate.start - _WINDOW) : candidate.start], line[candidate.end : candidate.end + 60]
    host = candidate.host

    if not host and candidate.kind == "port":
        beside = _search(_HOST_BESIDE, before + ":" + after)
        host = beside["host"] if beside else ""

    scheme = _SCHEMES.get(candidate.scheme, candidate.scheme)

    if not scheme:
        secure = "https" in _words(_sentence(before)) or _regex(r"[^\w]{0,3}\(?https\b").match(after)
        scheme = "https" if secure else "http"

    return Endpoint(host or _NO_HOST, candidate.port, scheme)
