"""regex-port: finds the scheme, host and port that a server announces in its output, whatever the server.

Every place in a line that could be an endpoint is a candidate; the words around it decide. "listening
on", "available at" and the like speak for it; failures, connections to others, clients, proxies and
side doors (metrics, live reload, debuggers, peers) speak against it; the nearest word wins.
"""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import Literal

from hostler import Endpoint, StreamName, hookimpl, option

_LINE = 8192  # the engine cuts lines here; other callers may not
_CANDIDATES = 24  # looked at in one line: an announcement does not hide behind more
_WINDOW = 240  # characters of a line that are asked before a candidate
_NO_HOST = "127.0.0.1"

_CONTROL = re.compile(
    r"""(?: \x1b | \\u001b | \\x1b | \\033 ) \[ [0-9;:]* m            # colours, also escaped in JSON
      | (?P<gap> (?: \x1b\[ | \x9b ) [0-?]* [ -/]* [@-~]              # cursor moves: what they part stays parted
               | \x1b\][^\x07\x1b]{0,2048} (?: \x07 | \x1b\\ )?       # titles, hyperlinks
               | \x1b [ -/]* [0-~] | \t )
      | [\x00-\x08\x0b\x0c\x0e-\x1f\x7f\u200b-\u200f\ufeff]""",
    re.VERBOSE,
)
_DIGITS = re.compile(r"[:\s=\"'(/>@-][1-9][0-9]{1,4}(?![0-9])", re.ASCII)

_PORT = r"(?P<port>[1-9][0-9]{0,4}) (?! [0-9A-Za-z_] | [.:][0-9] | -[0-9A-Za-z] )"
_IPV4 = r"[0-9]{1,3} (?: \.[0-9]{1,3} ){3}"
_IPV6 = r"[0-9a-f]{0,4} (?: :[0-9a-f]{0,4} ){2,8}"
_NAME = r"[a-z_] [a-z0-9_.-]{0,80}"

_ADDRESS = re.compile(
    rf"""(?: (?: (?<![a-z0-9+.-]) (?P<scheme> [a-z][a-z0-9+.]{{1,15}} ) : )? (?P<url>//)
             (?: [^\s/@:"'<>]{{1,60}} (?: :[^\s/@"'<>]{{0,60}} )? @ )? )?
         (?P<host> \[ [0-9a-z:.%_-]{{1,60}} \] | (?<![0-9a-z.:-]) {_IPV6} | (?<![0-9a-z.-]) {_IPV4}
                 | (?<![0-9a-z_.@-]) (?: (?<![^/]/) | (?<=//) ) {_NAME} | (?<![^\s"'(=\[/]) [*+.0]? )
         : {_PORT}""",
    re.VERBOSE | re.IGNORECASE | re.ASCII,
)
_OTHER_FORMS = (
    ("(", rf"""\( \s* ['"]? (?P<host> {_IPV4} | {_IPV6} | {_NAME} | ) ['"]? , \s* {_PORT} \s* [,)]"""),
    ("/tcp/", rf"""/ (?: ip[46] | dns[46]? ) / (?P<host> [^\s/]{{1,80}} ) /tcp/ {_PORT}"""),
    ("http", rf"""["'] (?P<scheme>https?) - [a-z0-9]{{2,12}} - (?: (?P<host> {_IPV4} | {_NAME} ) - )? {_PORT} ["']"""),
    ("port", rf"""(?<! [\w-] ) (?: [a-z]{{1,12}} [_-] )? ports? (?: \(s\) )? ["']? \s*
                  (?: (?: => | [:=\#] | is | number ) \s* ){{0,3}} ["'(\[{{]{{0,3}} {_PORT}"""),
    ("", rf"""\b (?: on | at | to | listening | listen ) (?: \s* : \s* | \s+ ) {_PORT}
              (?= \s* (?: $ | [,;!()\[\]"'|\u2026] | \.(?:[\s."']|$) | [-\u2013\u2014]\s
                        | (?: for | with | in | via | and | using | over )\b ) )"""),
)  # fmt: skip
_FORMS = tuple((hint, re.compile(form, re.VERBOSE | re.IGNORECASE | re.ASCII)) for hint, form in _OTHER_FORMS)
_HOST_NEARBY = re.compile(
    rf"""\b (?: on | at | host | hostname | address | addr | bind | interface | ip | to ) \b [\w()\s-]{{0,16}} ["']? \s* [=:]? \s*
         ["'(\[]* (?P<host> {_IPV4} | {_IPV6} (?<=[0-9a-f:]) | localhost | \*(?!\*) )""",
    re.VERBOSE | re.IGNORECASE | re.ASCII,
)

_FAILURE = re.compile(
    r"""\bin\suse\b | \balready\s(?:bound|listening|running|taken|occupied|exists|started) | \bEADDR | \bEACCES | refused
      | \bfail(?:ed|ure|s|ing)?\b | (?<!\b0\s)(?<!\bno\s)\b errors?\b (?![._]log) | \bfatal\b | \bpanic | exception\b
      | \bcan(?:'|\u2019|no)t\b | \bcould(?:\snot|n't) | \bunable\b | \bdenied\b | \btimed\sout\b | \bunreachable
      | \bnot\s(?:reachable|responding|listening|permitted) | \bunavailable\b | \bis\staken\b | \bnot\sfree\b
      | \b(?:GET|POST|PUT|PATCH|DELETE|HEAD)\s+(?:/|https?:) | \bHTTP/[12](?:\.[01])?["']\s | \busage:""",
    re.VERBOSE,
)
_SIDE_DOOR = re.compile(
    r"""live[\s-]?reload | \bhmr\b | \bhot[\s-](?:module|reload) | \bmetrics?\b | \badmin(?:istration|istrative)?\b
      | \bmanagement\b | \bdebugger\b | \b[dD]ebug\s(?:and|server|endpoint|port|listener|api|adapter|http)\b | \bpprof\b
      | \bpeers?\b | \bp2p\b | \bgossip\b | \braft\b | \b(?:intra|inter)-?(?:cluster|server)\b | \bdt_socket\b | \bjmx\b
      | \bcluster[\s_-](?:addr|address|bus|port|communication|listener|connections?)\b | \broute\sconnections\b
      | \bmonitor(?:ing)?\b | \bhealth[\s-]?(?:check|probe)s?\s(?:server|port|listener)\b | \bprob(?:e|es|ing)\b
      | \bcontrol\s(?:port|socket|server|channel)\b | \bprofiler\b | \btelemetry\b | \breplication\b""",
    re.VERBOSE | re.IGNORECASE,
)
_OTHERS = re.compile(
    r"""\b(?:re)?connect(?:ing|ed)\b | \bconnections?\s(?:to|from|with|\() | \bnew\s(?:\w+\s)?connection\b
      | (?<!launched\s)(?<!forwarding\s)(?<!served\s)\bfrom[\s=:]+(?:(?:client|user|peer|host|ip|address|\S+@)\s*)*["'(\[/<]*$
      | \bprox(?:y|ied|ying)\b | \bforward(?:ed|ing)?\s(?:\w+\s)?to\b | \bredirect | \bupstreams? | \bbackends?\b | \btargets?\b
      | \bfetch | \bdownload | \brequest(?:s|ed|ing)?\b | \bsend(?:ing|s)?\b | \bsent\b | \bping | \bpoll(?:ing)?\b | \bcheck(?:ing|ed)\b
      | \bwait(?:ing)?\sfor\b(?!\s(?:\w+\s)?(?:connections?|requests?|clients?)) | \btr(?:ying|y)\b | \bretry
      | \bregister | \bjoin | \bsubscri | \bresolv | \bcurl\b | \bwget\b | \bexport(?:ing)?\s(?:\w+\s)?to\b | \bbroker\b | \bseeds?\b
      | \boverrid | \bignor | \bskip | \binstead\sof\b | \bpreviously\b | \bdisabled\b | \bstopp(?:ed|ing)\b | \bclos(?:ed|ing)\b
      | \bshut(?:ting)?\sdown\b | \bno\slonger\b | \bdisconnect | \bdefaults?\b | \bexample\b | \be\.g\. | \borigins?\b | \bcors\b
      | \b(?:options?|config(?:uration)?|settings?|arg(?:ument)?s|namespace|env(?:ironment)?|flags?|command)\b\s*[:=({]
      | \b(?:database|db|redis|postgres(?:ql)?|mysql|mongo(?:db)?|kafka|zookeeper|rabbitmq|cache)(?:_|\s)?(?:url|uri|host|server)?\s*[:=@]
      | \b(?:client|remote|peer|src|dst|source|destination|host|referer|location|issuer|registry|webhook|callback|leader|master)
        (?:[\s_-]?(?:addr|address|ip|host|url|uri|port))*["']?\s*[:=]\s*["'(\[]*$
      | [^\s]*[/:0-9][^\s]*\s*(?:->|=>|\u2192)\s*$ | --[\w-]*$""",
    re.VERBOSE | re.IGNORECASE,
)
_ANNOUNCING = re.compile(
    r"""\blisten(?:ing|s|ed|ers?)?\b | \bserv(?:ing|es|ed)\b | \brun(?:ning|s)?\b | \bstart(?:ed|ing|s)?\b | \bready\b
      | \baccept(?:ing|s)?\b | \bavailable\b | \baccessible\b | \bbound\b | \bbind(?:ing|s)?\b | \bopen(?:ed|ing|s)?\b
      | \blaunch(?:ed|ing)?\b | \bexpos(?:ed|ing)\b | \bexporting\b | \bawaiting\b | \bwaiting\s(?:for|on)\b | \bonline\b | \blive\b
      | \b(?:is|now|are|it's)\sup\b | \bhost(?:ed|ing)\b | \bdeployed\b | \bpublish(?:ed|ing)?\b | \bpublish_address\b
      | \brespond(?:ing|s)?\b | \benabled\son\b | \bvisit\b | \bbrows(?:e|er)\b | \bnavigate\b | \bstage\son\b | \bconnections\son\b
      | \bforwarding\sfrom\b | \binitialized\b | \bcreated\b | \bactivated\b | \bup\son\b""",
    re.VERBOSE | re.IGNORECASE,
)
_LABEL = re.compile(
    r"""(?: ^ | [\s\]>|*\u2502-] ) (?: [a-z0-9-]+ \s ){0,2} (?: addr(?:ess)?(?:es)? | url | endpoint | local | network | bind | listen )
        (?: \s*\d )? \s*[:=\u2502]\s* ["'\[({]*$""",
    re.VERBOSE | re.IGNORECASE,
)
_SAID_AFTER = re.compile(
    r"[^\w]{0,3}\s*(?:is|was|has|now|been|\s)*\b(?:bound|listening|ready|started|starting|opened|open|online|up)\b",
    re.IGNORECASE,
)
_UNSAID_AFTER = re.compile(
    r"""["')\]]*\?(?:\s|$) | [^\w]{0,3}\s*(?:is|was|has|been|\s)*\b(?:closed|stopped|accepted|closing|disconnected|shut)\b
      | [\s(/]{1,2}udp\b(?![+/,]tcp) | \s*network=udp""",
    re.VERBOSE | re.IGNORECASE,
)
_UDP = re.compile(r"\budp[46]?\b(?!.*\btcp)", re.IGNORECASE)
_STRUCTURED = re.compile(r"\s*\{\s*\"|\b(?:msg|message|event)=", re.IGNORECASE)
_SENTENCE = re.compile(r"[.;]\s+(?=\S)|\s\|\s")
_NOT_A_HOST = frozenset({"on", "at", "to", "port", "tcp", "tcp4", "tcp6", "http", "https", "ws", "ip", "listening", "address", "addr", "ipv4", "ipv6"})  # fmt: skip
_STORES = frozenset({"postgres", "postgresql", "mysql", "mongodb", "redis", "rediss", "amqp", "amqps", "kafka", "ldap", "smtp", "jdbc"})  # fmt: skip
_SCHEMES = {"tcp": "http", "tcp4": "http", "tcp6": "http", "ssl": "https", "tls": "https"}


@dataclass(frozen=True, slots=True)
class _Candidate:
    """A place in a line that could be an endpoint; `host` is "" where the place names none."""

    host: str
    port: int
    scheme: str
    start: int
    end: int
    is_url: bool
    is_address: bool


def find_endpoint(text: str) -> Endpoint | None:
    """Find the endpoint that a line (or the first of several lines) announces, None where none does.

    The host is as announced, IPv6 without brackets, 127.0.0.1 where only a port is named; the scheme
    is "http" unless the line says otherwise. Takes time linear in the text, of which each line's
    first 8 KiB count.
    """
    for line in re.split(r"[\r\n]+", text) if "\n" in text or "\r" in text else (text,):
        if _DIGITS.search(line, 0, _LINE) is None and "\x1b" not in line and "\\" not in line:
            continue

        found = _in_line(plain(line))

        if found is not None:
            return found

    return None


def plain(line: str) -> str:
    """The line as a reader sees it: without colour codes and other control characters, cut at 8 KiB."""
    line = line[:_LINE]

    if not line.isprintable():
        line = _CONTROL.sub(lambda found: " " if found["gap"] else "", line)
    elif "\\" in line:
        line = _CONTROL.sub("", line).replace("\\/", "/")

    return line


def _in_line(line: str) -> Endpoint | None:
    candidates = sorted(islice(_candidates(line), _CANDIDATES), key=lambda candidate: candidate.start)

    if not candidates or _FAILURE.search(line):
        return None

    for candidate in candidates:
        if _announced(line, candidate):
            return _endpoint(line, candidate)

    return None


def _candidates(line: str) -> Iterator[_Candidate]:
    for found in _ADDRESS.finditer(line):
        candidate = _candidate(found, is_url=found["url"] is not None, is_address=True)

        if candidate is not None:
            yield candidate

    lowered = line.lower()

    for hint, form in _FORMS:
        if hint in lowered:
            for found in form.finditer(line):
                candidate = _candidate(found, is_url=False, is_address="host" in form.groupindex)

                if candidate is not None:
                    yield candidate


def _candidate(found: re.Match[str], *, is_url: bool, is_address: bool) -> _Candidate | None:
    parts = found.groupdict()
    host, port = (parts.get("host") or "").strip("[]"), int(parts["port"])
    host = "" if host.lower() in _NOT_A_HOST else host
    scheme = (parts.get("scheme") or "").lower()

    if port > 65535 or scheme == "unix" or (":" in host and not _is_ip(host)):
        return None

    return _Candidate(host, port, scheme, found.start(), found.end(), is_url, is_address)


def _is_ip(host: str) -> bool:
    for family in (socket.AF_INET, socket.AF_INET6):
        try:
            socket.inet_pton(family, host.partition("%")[0])
        except (OSError, ValueError):
            continue

        return True

    return False


def _announced(line: str, candidate: _Candidate) -> bool:
    """Whether the words around a candidate say that the server can be reached there."""
    before = line[max(0, candidate.start - _WINDOW) : candidate.start]
    after = line[candidate.end : candidate.end + 60]
    structured = _STRUCTURED.search(line) is not None
    sentence = before if structured else before[_last(_SENTENCE, before) + 1 :]

    if _SIDE_DOOR.search(line if structured else sentence) or _UNSAID_AFTER.match(after) or _UDP.search(sentence):
        return False

    said, others = _last(_ANNOUNCING, sentence), _last(_OTHERS, sentence)

    if others > said or (candidate.scheme in _STORES and said < 0):
        return False

    if candidate.is_url:
        return said >= 0 or _is_near(candidate.host)

    if not candidate.is_address and " port" not in f" {line}".lower():
        return said >= 0

    return said >= 0 or _spoken_of(line, sentence, after, structured=structured)


def _spoken_of(line: str, sentence: str, after: str, *, structured: bool) -> bool:
    if structured:
        return _ANNOUNCING.search(line) is not None

    return bool(_LABEL.search(sentence) or _SAID_AFTER.match(after) or not (sentence + after).strip(" \t-*>\u279c\u2192/"))


def _last(words: re.Pattern[str], text: str) -> int:
    return max((found.start() for found in words.finditer(text)), default=-1)


def _is_near(host: str) -> bool:
    """Whether a host is this machine or its network by its looks: an address, or a name without a domain."""
    return "." not in host or _is_ip(host) or host.lower().endswith((".localhost", ".local", ".test", ".lan"))


def _endpoint(line: str, candidate: _Candidate) -> Endpoint:
    around = line[max(0, candidate.start - _WINDOW) : candidate.end + 60]
    host = candidate.host

    if not host and not candidate.is_address:
        nearby = _HOST_NEARBY.search(around)
        host = nearby["host"] if nearby else ""

    scheme = _SCHEMES.get(candidate.scheme, candidate.scheme)

    if not scheme:
        scheme = "https" if re.match(r"[^\w]{0,3}\(?https\b|.{0,3}\bTLS\b", line[candidate.end :]) else "http"

    return Endpoint(host or _NO_HOST, candidate.port, scheme)
