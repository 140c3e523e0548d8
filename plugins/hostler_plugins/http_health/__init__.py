"""http-health: a server is healthy while it gives the right answer to an HTTP request."""

from __future__ import annotations

import importlib
from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Literal

from hostler import (
    Auth,
    Endpoint,
    Launch,
    PollOptions,
    Report,
    Secret,
    ServerSpec,
    ServerView,
    hookimpl,
    option,
)

from hostler_plugins._connections import check_headers, read_headers, redact_headers, without_port
from hostler_plugins._option_checks import check_path, check_pattern, check_port
from hostler_plugins.http_health.status_ranges import accepted


@dataclass(eq=False)
class HttpHealth(PollOptions):
    """Sends HTTP requests: the server is healthy if status, type and content of the answer are right.

    It sends the server's password (the fact "auth") if there is one, and uses no proxy. A connection is
    reused for the next request, except for POST; after a failure a new one is made. Retry-After is
    respected, up to 30 s. A failure that time does not fix (401, 403, a refused Host header, HTTP/2, TLS)
    is reported at once with the option that fixes it, and ends the start after 5 s. The process that
    listens on `port` has to belong to the server, too.
    """

    needs_port: ClassVar[str] = "port"  # the option that makes up for it

    path: str = option("/", "Path of the request, with its query")
    port: int | None = option(
        None, "Another port of the server, such as a management port; default: the server's own"
    )
    scheme: Literal["http", "https"] | None = option(
        None, "Scheme of the request; default: the scheme of the server's URL, otherwise http"
    )
    method: Literal["GET", "HEAD", "POST"] = option("GET", "Method of the request")
    send: str | dict[str, Any] | None = option(
        None, 'Body of a POST: a text, or a table that is sent as JSON, such as { query = "{ __typename }" }'
    )
    status: str | list[int] = option(
        "2xx", 'Healthy status codes: a list, or a text such as "2xx", "200-399" or "2xx, 404"'
    )
    content_type: str | None = option(
        None, 'Media type that the answer must have, such as "application/json" or "text/*"; default: any'
    )
    body: str | None = option(
        None, "Regular expression that must match in the first 64 KiB of the body; default: any body"
    )
    json: dict[str, Any] = option(
        {},
        'Values that a JSON body of up to 64 KiB must contain, such as { status = "ok", "db.up" = true }',
    )
    headers: dict[str, str | Secret] = option(
        {}, 'Additional request headers, such as { X-Token = { secret = "env:TOKEN" } }', secret=True
    )
    user: str | None = option(None, "User of HTTP basic authentication; default: the server's own, if any")
    password: Secret | None = option(
        None, 'Password of that user, such as { secret = "env:PASSWORD" }', secret=True
    )
    follow_redirects: bool = option(
        False,
        "Whether to follow a redirect (with secrets only to the same port) instead of judging it",
    )
    verify: bool = option(True, "Whether to verify the certificate (https)")
    ca: Path | None = option(
        None, "File of trusted certificates, relative to the server's cwd; default: those of the system"
    )

    certificate: Path | None = option(
        None,
        "File (PEM) with the client certificate and usually its key, relative to the server's cwd (https)",
    )
    key: Path | None = option(None, "File (PEM) with the key of that certificate; default: the same file")
    key_password: Secret | None = option(None, "Password of the key", secret=True)

    sent_headers: dict[str, str] = field(init=False, default_factory=dict, repr=False)
    key_word: str | None = field(init=False, default=None, repr=False)
    launch: Launch | None = field(init=False, default=None, repr=False)

    def __post_init__(self) -> None:
        check_path(self, "path")
        check_port(self.port)
        if self.method == "HEAD" and (self.body is not None or self.json):
            raise ValueError("method: an answer to HEAD has no body to look into; use GET")

        check_headers(self.headers)
        self._check_request()
        accepted(self.status)
        check_pattern(self, "body")
        super().__post_init__()

    def _check_request(self) -> None:
        if self.send is not None and self.method != "POST":
            raise ValueError('send: only a POST has a body; set method = "POST"')
        if self.user is not None and (":" in self.user or not self.user.isprintable()):
            raise ValueError("user: has to be printable letters without a colon")
        if self.logs_in and any(name.lower() == "authorization" for name in self.headers):
            raise ValueError("user: headers has an Authorization already; set one of them")

        for name in ("key", "key_password"):
            if getattr(self, name) is not None and self.certificate is None:
                raise ValueError(f"{name}: there is no certificate that it belongs to; set certificate")

    @property
    def logs_in(self) -> bool:
        """Whether it has a user or a password of its own."""
        return self.user is not None or self.password is not None

    def check(self, spec: ServerSpec, launch: Launch) -> Iterator[str]:
        """For `hostler check`: whether there are the files of certificates."""
        for path, what in (
            (self.ca if self.verify else None, "certificates"),
            (self.certificate, "a certificate"),
            (self.key, "a key"),
        ):
            if path is not None and not (launch.cwd / path).is_file():
                yield f"there is no file {path} with {what} for http-health"

    @hookimpl
    async def pre_spawn(self, server: ServerView, launch: Launch) -> None:
        """Import aiohttp while the child starts, and mask what is secret of the headers."""
        launch.warm_up(lambda: importlib.import_module("aiohttp"))
        launch.warm_up(lambda: importlib.import_module("hostler_plugins.http_health.probe"))

        self.launch = launch
        self.sent_headers = read_headers(self.headers, server, launch)

        if self.logs_in:
            password = "" if self.password is None else launch.read_secret(self.password)
            self.sent_headers["Authorization"] = Auth(self.user or "", password).header
            redact_headers(self.sent_headers, server)

        self.key_word = None if self.key_password is None else launch.read_secret(self.key_password)

    @hookimpl
    async def health_check(
        self, server: ServerView, endpoint: Endpoint | None
    ) -> AsyncGenerator[Report, None]:
        """Ask, and report each answer."""
        place = self._place(server, endpoint)
        if place is None:
            yield without_port("http-health", "set the option port")
            return

        from hostler_plugins.http_health.probe import asking  # noqa: PLC0415 - heavy

        async with asking(self, server, place) as ask, aclosing(self.poll(ask, server)) as reports:
            async for report in reports:
                yield report

    def _place(self, server: ServerView, endpoint: Endpoint | None) -> Endpoint | None:
        """What is asked; None where there is no port."""
        port = self.port or (None if endpoint is None else endpoint.port)
        if port is None:
            return None
        host = server.spec.host if endpoint is None else endpoint.reachable_host
        scheme = self.scheme or ("http" if endpoint is None else endpoint.scheme)
        return Endpoint(host, port, scheme)
