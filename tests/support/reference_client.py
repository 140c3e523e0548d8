"""The page docs/reference/client.md: what `hostler.client` has."""

from __future__ import annotations

import re
from collections.abc import Iterator

from hostler.client import (
    AsyncClient,
    AsyncFeed,
    Client,
    Feed,
    Gap,
    NotRunning,
    RequestRefused,
    Unreachable,
)
from reference_text import MADE, block, fields_table, members, section, signature, text_of

_INTRODUCTION = (
    "What `hostler.client` gives. Examples are on the page [The control API](../control-api.md#from-python)."
)
_DIFFERS = (
    "It has the same methods, as coroutines. Three are none: `follow_events` and `follow_log` give an "
    "AsyncFeed for `async with`, and `read_log` an iterator for `async for`."
)
_END = (
    "hostler's own [errors](errors.md) are raised as what they are. The types of answers are in "
    "`hostler.client.shapes`, those of logs in `hostler.client`; their fields are those of the "
    "[control API](api.md#types)."
)


def client_page() -> str:
    lines = ["# Python client", "", MADE, _INTRODUCTION, ""]
    lines += ["## Client", "", *block([signature(Client, "Client")]), text_of(Client), ""]
    for name, code, text in members(Client):
        lines += section(f"Client.{name}", _answer(code), text)
    lines += ["## AsyncClient", "", *block([signature(AsyncClient, "AsyncClient")]), text_of(AsyncClient), ""]
    lines += [_DIFFERS, ""]
    for feed in (Feed, AsyncFeed):
        lines += [f"## {feed.__name__}", "", text_of(feed), ""]
        for name, code, text in members(feed):
            lines += section(f"{feed.__name__}.{name}", code, text)
    lines += ["## Gap", "", text_of(Gap), "", *fields_table(Gap)]
    lines += ["## Errors", "", "| error | meaning |", "|---|---|", *_errors(), ""]
    return "\n".join([*lines, _END])


def _answer(code: str) -> str:
    """A signature with the type that the call returns, which is written as what makes it."""
    code = code.replace("WholeLog", "Iterator[LogLine | LogEnd]").replace("-> Stream[", "-> Feed[")
    return re.sub(r"Call\[(.*)\]$", lambda found: found[1].removeprefix("shapes."), code)


def _errors() -> Iterator[str]:
    for class_ in (NotRunning, Unreachable, RequestRefused):
        text = " ".join(text_of(class_).split())
        yield f"| `{class_.__name__}` | {text} |"
