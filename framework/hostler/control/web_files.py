"""The files of the dashboard, and what its page may do."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType

from hostler.control.problems import Refused
from hostler.control.routes import Call, Route, Text

FOLDER = Path(__file__).parent / "web"
_FIRST = "index.html"
_TYPES = MappingProxyType(
    {
        ".html": "text/html; charset=utf-8",
        ".css": "text/css; charset=utf-8",
        ".js": "text/javascript; charset=utf-8",
        ".svg": "image/svg+xml",
        ".LICENSE": "text/plain; charset=utf-8",
    }
)
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_HEADERS: Mapping[str, str] = MappingProxyType(
    {
        "Content-Security-Policy": POLICY,
        "Referrer-Policy": "no-referrer",
        "Cross-Origin-Opener-Policy": "same-origin",
        "X-Frame-Options": "DENY",
    }
)


class WebFiles:
    """Answers requests for the page and its files, which anybody may read who may connect."""

    def routes(self) -> Iterator[Route]:
        """All that this answers."""
        texts = tuple(_TYPES.values())
        yield Route("GET", "/", self.page, str, allowed="everybody", texts=texts)
        yield Route("GET", "/web/{file}", self.file, str, allowed="everybody", texts=texts)

    async def page(self, call: Call) -> tuple[int, object]:
        """The page."""
        return 200, await asyncio.to_thread(_read, _FIRST)

    async def file(self, call: Call) -> tuple[int, object]:
        """One of its files."""
        return 200, await asyncio.to_thread(_read, call.parts["file"])


def _read(name: str) -> Text:
    # By the names that are there: nothing that is asked for becomes a path.
    for path in FOLDER.iterdir():
        if path.name == name and path.suffix in _TYPES:
            return Text(path.read_bytes(), _TYPES[path.suffix], _HEADERS)
    raise Refused("not_found", f"the dashboard has no file {name[:100]!r}")
