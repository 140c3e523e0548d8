"""What announcements look like: the forms of an endpoint, and the words that speak for or against one.

Patterns are compiled when they are first used (verbose, ASCII, any case); phrases have one or two words.
"""

from __future__ import annotations

import re
from functools import cache
from typing import Literal, TypeAlias

Kind: TypeAlias = Literal["url", "address", "port"]


def _phrases(text: str) -> frozenset[str]:
    return frozenset(" ".join(phrase.split()) for phrase in text.split(","))


CONTROL = r"""
    (?: \x1b | \\u001b | \\x1b | \\033 ) \[ [0-9;:]* m              # colours, also as escaped in JSON
    | (?P<gap> (?: \x1b\[ | \x9b ) [0-?]* [ -/]* [@-~]              # cursor moves part words
             | \x1b\] [^\x07\x1b]{0,2048} (?: \x07 | \x1b\\ )?      # titles, hyperlinks
             | \x1b [ -/]* [0-~] | \t )
    | [\x00-\x08\x0b\x0c\x0e-\x1f\x7f\u200b-\u200f\ufeff]"""

# Numbers that are no time of day, date, version or line of a file: the quick look at every line.
COLON_NUMBER = r"""
    (?: : (?<! [0-9]T[0-9]{2}: ) (?<! :[0-9]{2}: ) (?<! [\s\[T][0-9]{2}: ) | (?<= [0-9a-f] ) [\#@] )
    [1-9][0-9]{1,4} (?! [0-9A-Za-z_] | [.:,-][0-9] )"""
LONE_NUMBER = r"""
    (?: [\s="'(>{\[] | :\s? | tcp/ | - (?= [0-9]{2,5}["'] ) )
    [1-9][0-9]{1,4} (?! [0-9A-Za-z_] | [.:,/-][0-9] )"""

_PORT = r"(?P<port> [1-9][0-9]{0,4} ) (?! [0-9A-Za-z_] | [.:][0-9] | -[0-9A-Za-z] )"
_IPV4 = r"[0-9]{1,3} (?: \.[0-9]{1,3} ){3}"
_IPV6 = r"[0-9a-f]{0,4} (?: :[0-9a-f]{0,4} ){2,8}"
_NAME = r"[a-z_] [a-z0-9_.-]{0,80}"

# http://user:word@[::1]:80, //localhost:80, PYRO:name@localhost:80,
# :::80, 127.0.0.1:80, 127.0.0.1#80, box:80, *:80, :80
ADDRESS = rf"""
    (?: (?: (?<! [a-z0-9+.-] ) (?P<scheme> [a-z][a-z0-9+.]{{1,15}} ) : )? (?P<url> // )
        (?P<user> [^\s/@:"'<>]{{1,60}} (?: :[^\s/@"'<>]{{0,60}} )? @ )?
      | (?<! [a-z0-9+.:-] ) (?! (?: git | mailto | scp | sips? | ssh | xmpp ) : )
        (?P<object> [a-z]{{2,12}} : [\w.-]{{1,80}} @ ) )?
    (?P<host> \[ [0-9a-z:.%_-]{{1,60}} \]
            | (?<! [0-9a-z.:-] ) {_IPV6}
            | (?<! [0-9a-z.-] ) {_IPV4}
            | (?(object) {_NAME} | (?(user) {_NAME} | (?!) ) )
            | (?<! [0-9a-z_.@-] ) (?: (?<! / ) | (?<= // ) ) {_NAME}
            | (?<! [^\s"'(=\[/{{] ) (?<! \w["'] ) [*+.0]? )
    (?: : | (?<= [0-9a-f] ) [\#@] ) {_PORT}"""

# ('127.0.0.1', 80)   [::1] (HTTP: 80)   on 127.0.0.1 80   /ip4/127.0.0.1/tcp/80   "http-nio-80"
# [ 'any' <ipv4> 80]   port(s): 80   listening on 80   listening (80)
_TUPLE = rf"""\( \s* ['"]? (?P<host> {_IPV4} | {_IPV6} | {_NAME} | ) ['"]? , \s* {_PORT} \s* [,)]"""
_SPACED = rf"""
    \b (?: on | at ) \s+ (?P<host> {_IPV4} | {_IPV6} | \[ [0-9a-z:.]{{1,40}} \] | localhost | \* ) \s+ {_PORT}
    (?= \s* (?: $ | [,;()] | \. (?: [\s.] | $ ) ) )"""
_IN_BRACKETS = rf"""
    (?<! [\w.:] ) \[? (?P<host> {_IPV4} | {_IPV6} | localhost | \* ) \]? \s* \(
    \s* (?P<scheme> https? | wss? | tcp ) \s* :? \s* (?= 80\b | 443\b | [0-9]{{4}} ) {_PORT} \s* [,)]"""
_ANGLED = rf"""\[ \s* ['"]? (?P<host> any | {_IPV4} | {_IPV6} ) ['"]? \s* <ipv[46]> \s+ {_PORT} \s* \]"""
_MULTIADDR = rf"""/ (?: ip[46] | dns[46]? ) / (?P<host> [^\s/]{{1,80}} ) /tcp/ {_PORT}"""
_CONNECTOR = rf"""
    ["'] (?P<scheme> https? ) - [a-z0-9]{{2,12}} - (?: (?P<host> {_IPV4} | {_NAME} ) - )? {_PORT} ["']"""
_PORT_SAID = rf"""
    (?<! [\w-] ) (?: [a-z]{{1,12}} [_-] )? ports? (?: \(s\) )? ["']? \s*
    (?: (?: => | [:=\#] | is | number ) \s* ){{0,3}} ["'(\[{{]{{0,3}} {_PORT}"""
_BARE_PORT = rf"""
    \b (?: on | at | to | at \s address | listening | listen )
    (?: \s* : \s* | \s+ ) (?: (?: tcp | https? ) [\s/:] )? {_PORT}
    (?= \s* (?: $ | [,;!()\[\]"'|\u2026] | \. (?: [\s."'] | $ ) | [-\u2013\u2014]\s
              | (?: for | with | in | via | and | using | over | started )\b ) )"""

_AFTER_LISTENING = r"""
    \b (?: listen | listens | listening | connections ) \s* [(\[] (?P<port> [1-9][0-9]{2,4} ) [)\]]"""

# The forms without a colon before the port, each behind a cheap test: one of these texts stands in the line.
FORMS: tuple[tuple[tuple[str, ...], str, Kind], ...] = (
    (("(",), _TUPLE, "address"),
    (("on ", "at "), _SPACED, "address"),
    (("(http", "(ws", "(tcp"), _IN_BRACKETS, "address"),
    (("<ipv",), _ANGLED, "address"),
    (("/tcp/",), _MULTIADDR, "address"),
    (("http",), _CONNECTOR, "port"),
    (("port",), _PORT_SAID, "port"),
    (("on ", "at ", "to ", "on:", "at:", "listen"), _BARE_PORT, "port"),
    (("listen", "connections"), _AFTER_LISTENING, "port"),
)
HOST_BESIDE = rf"""
    \b (?: on | at | host | hostname | address | addr | bind | i?face | interface | ip ) \b
    (?: \s (?: tcp | ipv[46] | ip | address ) ){{0,2}} ["']? \s* [=:]? \s* ["'(\[]{{0,3}}
    (?P<host> {_IPV4} | {_IPV6} (?<= [0-9a-f:] ) | localhost | \* )"""

# The message of a structured line (JSON, logfmt), and the keys that hold an address there.
MESSAGE = r"""
    (?: " (?: msg | message | event | info ) " \s* : \s* | \b (?: msg | message | event ) = )
    (?: " (?P<quoted> (?: [^"\\] | \\. ){1,400} ) | (?P<bare> [^\s"]{1,80} ) )"""
ADDRESS_KEY = r"""
    (?: \b | _ ) (?: addr | address | listen | bind | endpoint | url | uri | https? | server | on )
    ["']? \s* [:=]+ >? \s* ["'(\[{]* $"""
SENTENCE_END = r"[.;!] \s+ (?= \S ) | \s [|] \s"

# A name before a colon is a host where it is spoken of as one, and no file with a line number.
PREPOSITION = r"""
    \b (?: on | at | address | addr | listen | endpoint | server | b(?:ou|i)nd(?:ing)? \s to ) [\s"'=:(]* $"""
SOURCE_FILE = r"""
    \. (?: [cm]?[jt]sx? | py | go | rs | rb | java | kt | cc? | cpp | h | php | exs? | erl | cs | scala
         | lua ) $"""
NOT_A_HOST = _phrases(
    """
    ., addr, address, any, at, http, https, ip, ipv4, ipv6, listening, on, port, tcp, tcp4, tcp6, to, ws
    """
)

WORD = r"[a-z][a-z0-9]*(?:['\u2019][a-z]+)?"
ANNOUNCING = _phrases(
    """
    accept, accepting, accepts, access, accessible, available, awaiting, bind, binding, binds, bound,
    browse, browser, clients, connections, deployed, exporting, expose, exposed, exposing, hosted,
    hosting, initialized, launch, launched, launching, listen, listened, listener, listeners, listening,
    listens, live, navigate, online, open, opened, opening, opens, publish, published, publishing, ready,
    requests, respond, responding, responds, run, running, runs, serve, served, serves, serving, start,
    started, starting, starts, view, visit, can attach, created on, debug protocol, debugger attach,
    debugger connection, enabled on, fired up, firing up, for debugger, forwarding from, is up,
    listener connection, now up, object uri, setting up, spinning up, spun up, stage on, up at, up on,
    waiting on
    """
)
OTHERS = _phrases(
    """
    against, authenticating, backend, backends, benchmarking, broker, bugs, checking, cloning, closed,
    closing, connected, connecting, connection, cors, crawl, crawling, curl, delivered, deploying,
    disabled, disconnected, download, downloaded, downloading, example, fetch, fetched, fetching,
    ignored, ignoring, importing, instead, introspecting, issued, issues, join, joined, joining,
    lighthouse, located,
    looking, migrations, mirroring, navigating, origin, origins, override, overriding, ping, pinging,
    poll, polling, previously, proxied, proxies, proxy, proxying, pulled, pulling, pushed, pushing,
    querying, reconnect, reconnected, reconnecting, redirect, redirected, redirecting, register,
    registered, registering, replicating, requested, requesting, resolve, resolved, resolving, retry,
    retrying, scraping, see, seed, seeds, send, sending, sent, shipping, signup, skip, skipped, skipping,
    stopped, stopping, subscribe, subscribed, subscribing, synced, syncing, target, targets, try, trying,
    uploaded, uploading, upstream, upstreams, verified, wget, attached to, client for, client to,
    connection to, connections from, connections to, consumer for, consumer on, consumers for,
    consumers on, contract to, exporter endpoint, forward to, forwarded to, forwarding to, found links,
    key at, keys at, log in, logs to, opened page, package to, published to, publishing to, remote entry,
    request to, requests from, requests to, response from, response of, s test, set to, shut down,
    shutting down, sign up, spans to, sync started, traces to, update available, updates available,
    version available, wait for, waiting for
    """
)
FAILURES = _phrases(
    """
    can't, can\u2019t, cannot, couldn't, couldn\u2019t, denied, eacces, eaddrinuse, eaddrnotavail,
    econnrefused, econnreset, error, etimedout, exception, fail, failed, failing, fails, failure, fatal,
    occupied, panic, refused, unable, unavailable, unreachable, already bound, already listening,
    already running, already started, already taken, closed listener, closing listener, could not,
    in use, is taken, no longer, not free, not listening, not permitted, not reachable, not responding,
    stop listening, stopped listening, timed out
    """
)
SIDE_DOORS = _phrases(
    """
    admin, administration, administrative, adminserver, gossip, healthcheck, hmr,
    intercluster, interserver, intracluster, jmx, livereload, management, metric, metrics, monitor,
    monitoring, p2p, peer, peers, pprof, profiler, raft, replication, telemetry, cluster addr,
    cluster address, cluster bus, cluster communication, cluster connection, cluster connections,
    cluster listener, cluster port, command channel, control channel, control port, control server,
    control socket, debug and, health port,
    health server, hot module, hot reload, live reload, probe server, route connections
    """
)

# Where a program can be debugged: what a debugger announces, and a side door of every other server.
DEBUGGERS = _phrases(
    """
    debugger, debugpy, devtools, remotepdb, debug adapter, debug endpoint, debug port, debug protocol,
    debug server, dt socket
    """
)

# Words that lead to something to read, unless another one says that a server runs.
LEADING = _phrases("access, accessible, available, browse, navigate, open, view, visit")
TO_READ = r"""
    \b (?: about | an | and | any | for | full | get | more | need | our | read | report | see | the | to
      | with ) \s+ (?: (?: api | more | our | the ) \s+ )?
    (?: assistance | bugs? | changelog | details | docs? | documentation | faq | guides? | help
      | info (?: rmation )? | instructions | issues? | learn | licen[cs]e | manuals? | questions | read
      | references? | support | tutorials? ) \b"""
# What a worker of a queue listens to is the queue.
WORKERS = _phrases("consumer, consumers, job, jobs, worker, workers")
STARTED_BROKER = r"\b start (?: ed | ing )? \s (?: [\w-]+ \s ){0,3} broker (?: \s serv (?: er | ice ) )? \b"

REQUEST = r"""
    \b (?-i: GET | POST | PUT | PATCH | DELETE | HEAD ) \s+ (?: / | https?: )
    | ^ \s* (?: Get | Hit | Ign | Err ) :[0-9]{1,5} \s+ https?:      # apt
    | \bHTTP/[12] (?: \.[01] )? ["']"""
NOT_OURS = r"""
    (?<! launched\s ) (?<! forwarding\s ) (?<! served\s ) \b from [\s=:]+
        (?: (?: client | user | peer | host | ip | address ) \s* )* ["'(\[/<]* $
    | \b (?: client | remote | peer | src | dst | source | destination | host | referer | location | issuer
           | registry | webhook | callback | leader | master )
        (?: [\s_-]? (?: addr | address | ip | host | url | uri | port ) ){0,2} ["']? \s* [:=] \s* ["'(\[]* $
    | \b (?: options? | config | configuration | settings? | args | arguments | namespace | env | environment
           | flags? | usage | command ) \s* [:=({] (?! [0-9] )
    | \b (?: database | db | redis | postgres | postgresql | mysql | mongo | mongodb | kafka | zookeeper
           | rabbitmq | cache | jdbc (?= [\s_] ) | datasource | broker | brokers | index | registry | nodes
           | dsn ) (?: [\s_] (?: url | uri | host | server ) )? \s* [:=@]
    | \b (?: bugs? | changelog | docs? | documentation | guides? | help | manuals? | more | read
        | more \s info (?: rmation )? | support | tutorials? ) \s*
        (?: (?: is | are )? \s (?: at | on ) )? \s* [:=]? \s* $
    | (?: ^ | [\]:>] \s | \s -\s ) [^a-z]* using \s+
        (?! (?: endpoint | port | address | host | url | https? ) \b ) [a-z] [^;!]* $
    | \b (?: called | calling | goto | intercepting | mocking | recording | rewriting | seeding | testing
           | trusting | whitelisted | (?: to | will ) \s use | (?: documented | powered ) \s (?: at | by )
           | (?: account | settings | sign \s up | upgrade ) (?: \s at )? | homepage | provider | reference
           | repo (?: sitory )? | terms \s of \s (?: use | service )
           | (?: \w* base | frontend | login | logout ) [\s_-]? (?: url | uri ) )
        \s* (?: is \b | [:=] )? \s* ["'(\[]* $
    | \S*[/:0-9]\S* \s+ (?: -> | => | \u2192 ) \s* $
    | (?: ^ | \s ) --? [a-z] [\w-]* [\s=]* $
    | \b defaults? (?: \s (?: is | to ) )? \s* [:=]? \s* $"""
UNSAID_AFTER = r"""
    ["')\]]* \? (?: \s | $ )
    | (?: /\S* )? [^\w]{0,3} \s* (?: (?: is | was | has | been ) \s+ )*
        (?: closed | stopped | accepted | closing | disconnected | empty | found | not | took ) \b
    | [)\]]* \s+ starting \s* $
    | [\s(/]{1,2} udp \b (?! [+/,]tcp ) | \s* network=udp"""

# What makes an endpoint an announcement where no word has a say.
LABEL = r"""
    (?: ^ | [\s\]>|*\u2502-] )
    (?: addr | address | url | endpoint | local | network | bind | listen | server | tcp | https? | grpc
      | ui ) (?: \s\d )? \s* [:=\u2502] \s* ["'\[({]* $"""
PORT_LABEL = r"""
    (?: ^ [^a-z]* port \s* [:=] | \( port
      | (?<! [a-z0-9]\s ) \b version \s* [:=] \s* ["']? v?[0-9] .* \s port \s* [:=] )
    \s* $"""
SAID_AFTER = r"""
    [^\w]{0,3} \s* (?: (?: is | was | has | now | been ) \s+ )*
    (?: bound | listening | ready | started | opened | open | online | up ) \b"""
BULLETS = " \t-*>=\u279c\u2192\u27a4\u203a\u2022\u2502\u2503|_.`'/\\"

STORES = _phrases(
    """
    amqp, amqps, jdbc, kafka, ldap, mongodb, mysql, postgres, postgresql, redis, rediss, smtp
    """
)
PLAIN_SCHEMES = frozenset({"tcp", "tcp4", "tcp6"})
SECURE_SCHEMES = frozenset({"ssl", "tls"})
HTTPS_AFTER = r"\s* \( https \b"


@cache
def regex(pattern: str) -> re.Pattern[str]:
    """One of these patterns, compiled when it is first needed: importing a plugin costs nothing."""
    return re.compile(pattern, re.VERBOSE | re.IGNORECASE | re.ASCII)
