"""http-health: a server is healthy while it gives the right answer to an HTTP request."""

from __future__ import annotations

import importlib
import re
from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Literal

from hostler import (
    Duration,
    Endpoint,
    InvalidConfiguration,
    Launch,
    Report,
    Secret,
    ServerSpec,
    ServerView,
    Unhealthy,
    hookimpl,
    is_secret_name,
    option,
    poll,
)

from hostler_plugins.http_health.statuses import accepted
from hostler_plugins.thresholds import check_pattern, check_positive

_NO_PORT = "http-health needs a server with a port"
_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+", re.ASCII)  # RFC 9110, 5.6.2: token


@dataclass(eq=False)
class HttpHealth:
    """Asks for one path again and again: healthy is an answer of the right status, type and content.

    The password of the server (the fact "auth") is sent where there is one, proxies are not used. A
    connection is kept for the next request; after a failure a new one is made. A Retry-After is kept, up
    to 30 s.
    """

    needs_port: ClassVar[bool] = True

    path: str = option("/", "path of the request, with its query")
    method: Literal["GET", "HEAD"] = option("GET", "method of the request")
    status: str | list[int] = option(
        "2xx", 'codes that are healthy: a list, or a text such as "2xx", "200-399" or "2xx, 404"'
    )
    content_type: str | None = option(
        None, 'media type that the answer has to have, such as "application/json" or "text/*"; default: any'
    )
    body: str | None = option(
        None, "regular expression that has to be found in the first 64 KiB of the body; default: any body"
    )
    json: dict[str, Any] = option(
        {},
        'values that have to stand in a JSON body of up to 64 KiB, such as { status = "ok", "db.up" = true }',
    )
    headers: dict[str, str | Secret] = field(
        default_factory=dict,
        repr=False,
        metadata={"meaning": 'further request headers, such as { X-Token = { secret = "env:TOKEN" } }'},
    )
    interval: Duration = option(Duration(10), "how often it is asked once it is ready; before that, sooner")
    timeout: Duration = option(
        Duration(5),
        "how long an answer may take; until it is ready, no longer than a third of startup_timeout",
    )
    successes: int = option(1, "how many good answers in a row make it healthy")
    failures: int | None = option(
        None, "how many bad answers in a row are a crash; default: the server's max_connection_failures"
    )
    follow_redirects: bool = option(
        False,
        "whether a redirect is followed, or is itself the answer; one with secrets only to the same port",
    )
    verify: bool = option(True, "whether the certificate is checked (https)")
    ca: Path | None = option(
        None, "file of certificates to trust, seen from the server's cwd; default: those of the system"
    )

    sent_headers: dict[str, str] = field(init=False, default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        if not self.path.startswith("/"):
            raise ValueError(f'path: expected a path that starts with "/", found {self.path!r}')

        if self.method == "HEAD" and (self.body is not None or self.json):
            raise ValueError("method: an answer to HEAD has no body to look into; use GET")

        for name, value in self.headers.items():
            if not _NAME.fullmatch(name):
                raise ValueError(f"headers: {name!r} is no name of a header")

            if isinstance(value, str) and not value.isprintable():
                raise ValueError(f"headers: the value of {name} has to be one line of printable letters")

        accepted(self.status)
        check_pattern(self, "body")
        check_positive(self, "interval", "timeout", "successes", "failures")

    def check(self, spec: ServerSpec, launch: Launch) -> Iterator[str]:
        """For `hostler check`: whether there is the file of certificates."""
        if self.ca is not None and self.verify and not (launch.cwd / self.ca).is_file():
            yield f"there is no file {self.ca} with certificates for http-health"

    @hookimpl
    async def pre_spawn(self, server: ServerView, launch: Launch) -> None:
        """Import aiohttp while the child starts, and mask what is secret of the headers."""
        launch.warm_up(lambda: importlib.import_module("aiohttp"))
        launch.warm_up(lambda: importlib.import_module("hostler_plugins.http_health.asking"))

        self.sent_headers = {
            name: launch.read_secret(value) if isinstance(value, Secret) else value
            for name, value in self.headers.items()
        }

        for name, value in self.sent_headers.items():
            if is_secret_name(name.replace("-", "_")):
                server.redact(value)
                server.redact(value.partition(" ")[2])  # "Bearer ..."

    @hookimpl
    async def health_check(
        self, server: ServerView, endpoint: Endpoint | None
    ) -> AsyncGenerator[Report, None]:
        """Ask, and report each answer."""
        if endpoint is None:
            yield _without_port()
            return

        from hostler_plugins.http_health.asking import asking  # noqa: PLC0415 - heavy

        async with asking(self, server, endpoint) as ask:
            reports = poll(
                ask,
                interval=self.interval,
                timeout=self.timeout,
                start_timeout=server.spec.startup_timeout / 3,
                successes=self.successes,
                failures=self.failures,
            )

            async with aclosing(reports):
                async for report in reports:
                    yield report


def _without_port() -> Unhealthy:
    error = InvalidConfiguration(_NO_PORT, hint="give the server a port, or use exec-health")
    return Unhealthy(error.message, permanent=True, error=error)
