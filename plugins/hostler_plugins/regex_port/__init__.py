"""regex-port: finds out where a server listens from what it prints."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import partial
from typing import Literal

from hostler import Endpoint, Launch, ServerView, StreamName, hookimpl, option

from hostler_plugins.regex_port.announcements import endpoint, find_endpoint, parse_address, plain

__all__ = ["RegexPort", "find_endpoint"]

_GROUPS = ("host", "port", "scheme", "url")
_USUAL = "server listening on http://127.0.0.1:4096"
_DIGITS = re.compile(r"[0-9]{1,5}")
_NESTED_REPEAT = re.compile(r"\((?:[^()\\]|\\.)*[+*}](?:[^()\\]|\\.)*\)(?:[+*]|\{[0-9]+,[0-9]*\})")


@dataclass(eq=False)
class RegexPort:
    """Reads scheme, host and port from the lines that a server prints, by itself or by own patterns.

    Without a pattern, announcements of any server are recognized: URLs, host:port, "port N", JSON, with
    colours or without; lines about failures, clients, proxies, metrics and the like are passed over.
    With patterns, only they count: each is searched in the line, colour codes removed, cut at 8 KiB.
    They run on hostler's event loop and cannot be interrupted: one that backtracks without end stops
    everything. A slow one is named by the engine; nested repeats like `(a+)+` are warned of.
    """

    pattern: str | list[str] = option(
        "",
        "Own regular expressions with the named groups url, host, port, scheme; url or port must be there.",
    )
    stream: Literal["any", "stdout", "stderr"] = option("any", "The stream that is read.")
    _patterns: tuple[re.Pattern[str], ...] = field(init=False, repr=False, default=())

    def __post_init__(self) -> None:
        given = [self.pattern] if isinstance(self.pattern, str) else self.pattern
        self._patterns = tuple(_compiled(pattern) for pattern in given if pattern)

    @hookimpl
    async def pre_spawn(self, server: ServerView, launch: Launch) -> None:
        """Warn of patterns that may take for ever on some line; compile our own while the child starts."""
        if not self._patterns:
            launch.warm_up(partial(find_endpoint, _USUAL))

        for pattern in self._patterns:
            if _NESTED_REPEAT.search(pattern.pattern):
                text = f"the pattern {pattern.pattern!r} repeats a repeat: some lines may take it very long"
                server.notice("slow_pattern", text, level="warning", pattern=pattern.pattern)

    @hookimpl
    def parse_port(self, line: str, stream: StreamName) -> Endpoint | None:
        """The endpoint that this line announces, if it does."""
        if self.stream not in ("any", stream):
            return None

        if not self._patterns:
            return find_endpoint(line)

        text = plain(line)
        found = (_read(match) for pattern in self._patterns if (match := pattern.search(text)))
        return next((endpoint for endpoint in found if endpoint), None)


def _compiled(pattern: str) -> re.Pattern[str]:
    try:
        compiled = re.compile(pattern)
    except (re.error, OverflowError, RecursionError) as error:
        raise ValueError(f"pattern: {pattern!r} is no regular expression: {error}") from error

    groups = compiled.groupindex.keys()

    if not groups & {"url", "port"}:
        raise ValueError(f"pattern: {pattern!r} needs a named group (?P<url>...) or (?P<port>...)")

    if unknown := sorted(groups - set(_GROUPS)):
        raise ValueError(
            f"pattern: {pattern!r} has the unknown group {unknown[0]!r}; known are {', '.join(_GROUPS)}"
        )

    return compiled


def _read(match: re.Match[str]) -> Endpoint | None:
    """The endpoint of a match: the url's parts, each replaced by a group of its own where there is one."""
    groups = match.groupdict()
    url = parse_address(groups.get("url") or "") or Endpoint("127.0.0.1", 0)
    digits = groups.get("port") or str(url.port)
    port = int(digits) if _DIGITS.fullmatch(digits) else 0

    if not 1 <= port <= 65535:
        return None

    host = (groups.get("host") or url.host).strip("[]")
    return endpoint(host, port, (groups.get("scheme") or (url.scheme if url.says_scheme else "")).lower())
