"""regex-port: finds out where a server listens from what it prints."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from typing import Literal

from hostler import Endpoint, Launch, Line, ServerView, StreamName, hookimpl, is_secret_name, option

from hostler_plugins.regex_port.announcements import endpoint, find_endpoint, parse_address, plain

__all__ = ["RegexPort", "find_endpoint"]

_GROUPS = {"host", "port", "scheme", "url"}
_MASK = "********"  # what stands in the output for a secret, also for one that was read here
_USUAL = "server listening on http://127.0.0.1:4096"
_DIGITS = r"[0-9]{1,5}"
_NESTED_REPEAT = r"\((?:[^()\\]|\\.)*[+*}](?:[^()\\]|\\.)*\)(?:[+*]|\{[0-9]+,[0-9]*\})"


@dataclass(eq=False)
class RegexPort:
    """Reads scheme, host and port from the lines that a server prints, with built-in or your own patterns.

    Without `pattern`, it recognizes the announcements of any server: URLs, host:port, "port N", JSON, with
    or without colours. It skips lines about failures, clients, proxies, metrics and the like. With
    patterns, only these count: each is searched in the line, without colour codes, cut at 8 KiB. They run
    on hostler's event loop and cannot be interrupted, so a pattern that backtracks endlessly blocks
    everything. hostler names a slow pattern, and warns about nested repeats like `(a+)+`.

    Other named groups are published: `(?P<token>...)` of the server `web` becomes HOSTLER_TOKEN_WEB for
    servers that need it, for commands and in `child_env()`. The first value of each run counts. If the name
    looks secret, the value is masked in everything after that line; in a log file the line itself is
    unchanged. A pattern with only such groups leaves the endpoint to others.
    """

    pattern: str | list[str] = option(
        "",
        "Your own regular expressions with the named groups url, host, port, scheme; other groups are"
        " published",
    )
    stream: Literal["any", "stdout", "stderr"] = option("any", "The stream to read")
    _patterns: tuple[re.Pattern[str], ...] = field(init=False, repr=False, default=())
    _tellers: tuple[re.Pattern[str], ...] = field(init=False, repr=False, default=())
    _server: ServerView | None = field(init=False, repr=False, default=None)
    _untold: set[str] = field(init=False, repr=False, default_factory=set)
    _secrets: set[str] = field(init=False, repr=False, default_factory=set)

    def __post_init__(self) -> None:
        given = [self.pattern] if isinstance(self.pattern, str) else self.pattern
        patterns = [_compiled(pattern) for pattern in given if pattern]
        self._patterns = tuple(one for one in patterns if one.groupindex.keys() & {"url", "port"})
        self._tellers = tuple(one for one in patterns if one.groupindex.keys() - _GROUPS)

    @hookimpl
    async def pre_spawn(self, server: ServerView, launch: Launch) -> None:
        """Warn of patterns that may take for ever on some line; compile our own while the child starts."""
        if not self._patterns:
            launch.warm_up(partial(find_endpoint, _USUAL))

        if self._tellers:
            self._server = server
            self._untold = {name for one in self._tellers for name in one.groupindex.keys() - _GROUPS}
            launch.follow(self._hear)

        for pattern in {*self._patterns, *self._tellers}:
            if re.search(_NESTED_REPEAT, pattern.pattern):
                text = f"the pattern {pattern.pattern!r} repeats a repeat: some lines may take it very long"
                server.notice("slow_pattern", text, level="warning", pattern=pattern.pattern)

    @hookimpl
    def parse_port(self, line: str, stream: StreamName) -> Endpoint | None:
        """The endpoint that this line announces, if it does."""
        if self.stream not in ("any", stream):
            return None
        if self._untold:  # before the line is handed on: a secret in it is masked then
            self._tell(plain(line))
        if not self._patterns:
            return find_endpoint(line)
        found = (_read(match) for match in self._matches(self._patterns, plain(line)))
        return next((endpoint for endpoint in found if endpoint), None)

    def _hear(self, line: Line) -> bool:
        """Publish what this line holds of the other groups; whether there is more to come."""
        if self.stream in ("any", line.stream):
            self._tell(plain(line.text))
        return bool(self._untold)

    def _tell(self, text: str) -> None:
        for match in self._matches(self._tellers, text):
            for name in self._untold & match.groupdict().keys():
                if value := match[name]:
                    self._untold.discard(name)
                    self._publish(name, value)

    def _publish(self, group: str, value: str) -> None:
        assert self._server is not None
        if _MASK not in value:
            server = re.sub(r"[^A-Z0-9]", "_", self._server.name.upper())
            self._server.publish(f"HOSTLER_{group.upper()}_{server}", value, secret=is_secret_name(group))
            if is_secret_name(group):
                self._secrets.add(value)

    def _matches(self, patterns: Iterable[re.Pattern[str]], text: str) -> Iterator[re.Match[str]]:
        """Search each pattern; a later run prints a secret that was read here, and it is masked by then."""
        texts = [text, *(text.replace(_MASK, secret) for secret in self._secrets if _MASK in text)]
        for pattern in patterns:
            yield from islice(filter(None, map(pattern.search, texts)), 1)


def _compiled(pattern: str) -> re.Pattern[str]:
    try:
        compiled = re.compile(pattern)
    except (re.error, OverflowError, RecursionError) as error:
        raise ValueError(f"pattern: {pattern!r} is no regular expression: {error}") from error
    groups = compiled.groupindex.keys()
    if not groups & {"url", "port"} and not groups - _GROUPS:
        raise ValueError(f"pattern: {pattern!r} needs a named group (?P<url>...) or (?P<port>...)")
    return compiled


def _read(match: re.Match[str]) -> Endpoint | None:
    """The endpoint of a match: the url's parts, each replaced by a group of its own where there is one."""
    groups = match.groupdict()
    url = parse_address(groups.get("url") or "") or Endpoint("127.0.0.1", 0)
    digits = groups.get("port") or str(url.port)
    port = int(digits) if re.fullmatch(_DIGITS, digits) else 0
    if not 1 <= port <= 65535:
        return None
    host = (groups.get("host") or url.host).strip("[]")
    return endpoint(host, port, (groups.get("scheme") or (url.scheme if url.says_scheme else "")).lower())
