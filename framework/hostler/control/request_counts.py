"""How many requests the control API has answered over all its listeners, and how many streams it sends."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from hostler.control.routes import Route

OTHER = "other"
"""Stands for the route of what no route answers: a path that a client made up is in no metric."""


class RequestCounts:
    """Counts answers by route ("GET /v1/servers/{name}") and status. Used on the loop's thread."""

    def __init__(self) -> None:
        self.answers: Counter[tuple[str, int]] = Counter()
        self.streams = 0

    def note(self, route: Route | None, status: int) -> None:
        """Count an answer, or the beginning of a stream."""
        name = OTHER if route is None else f"{route.method} {route.path}"
        self.answers[name, status] += 1

    @contextmanager
    def streaming(self) -> Iterator[None]:
        """While a stream is sent it is counted as one that is open."""
        self.streams += 1
        try:
            yield
        finally:
            self.streams -= 1
