"""The few requests that hostler makes to OpenCode itself; aiohttp is imported when the first one is made."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from hostler import Auth, Endpoint, PortInUse, ServerView

if TYPE_CHECKING:
    import aiohttp

Method = Literal["GET", "POST"]

_CONNECT = 5.0
_ANSWER = 5.0
# Three of the longest heartbeats of any version.
_SILENCE = 90.0
_LARGEST = 1 << 20


@dataclass(frozen=True, slots=True)
class Place:
    """A path of the server, to be asked of nobody else."""

    server: ServerView
    endpoint: Endpoint
    path: str

    @property
    def url(self) -> str:
        """The whole URL."""
        return self.endpoint.url + self.path


async def status_of(place: Place, auth: Auth | None, *, method: Method = "GET", deadline: float = 5.0) -> int:
    """The status of one answer, its body unread; OSError or TimeoutError (seconds) without one."""
    async with request(place, auth, method=method, deadline=deadline) as answer:
        return answer.status


@dataclass(frozen=True, slots=True)
class Conversation:
    """Several requests over one connection: little time passes between an answer and the next request."""

    server: ServerView
    endpoint: Endpoint
    session: aiohttp.ClientSession

    async def json_of(self, path: str, *, method: Method = "GET") -> object:
        """The JSON of one answer, None for another one; OSError or TimeoutError (5 s) without any."""
        url = Place(self.server, self.endpoint, path).url
        with _as_os_errors(url, _ANSWER):
            async with self.session.request(method, url, allow_redirects=False) as answer:
                # Versions answer a path that they do not know with 200 and a page.
                if answer.status != 200 or answer.content_type != "application/json":
                    return None
                body = b""
                async for piece in answer.content.iter_any():
                    body += piece
                    if len(body) > _LARGEST:
                        return None
        try:
            return json.loads(body)
        except (ValueError, RecursionError):
            return None


@asynccontextmanager
async def conversation(server: ServerView, endpoint: Endpoint) -> AsyncIterator[Conversation]:
    """Talk with the server for a moment, with its password."""
    async with _session(server, endpoint, server.auth, total=_ANSWER, keeps=True) as session:
        yield Conversation(server, endpoint, session)


@asynccontextmanager
async def request(
    place: Place, auth: Auth | None, *, method: Method = "GET", deadline: float | None = None
) -> AsyncIterator[aiohttp.ClientResponse]:
    """One answer, whose body is read within; what goes wrong there is an OSError or a TimeoutError.

    Without `deadline` (seconds) the body may go on for ever, but not be silent for 90 s.
    """
    with _as_os_errors(place.url, deadline or _SILENCE):
        async with (
            _session(place.server, place.endpoint, auth, total=deadline) as session,
            session.request(method, place.url, allow_redirects=False) as answer,
        ):
            yield answer


@asynccontextmanager
async def _session(
    server: ServerView, endpoint: Endpoint, auth: Auth | None, *, total: float | None, keeps: bool = False
) -> AsyncIterator[aiohttp.ClientSession]:
    import aiohttp  # noqa: PLC0415 - heavy, and warmed up while the server starts

    from hostler_plugins._own_connector import OwnConnector  # noqa: PLC0415 - heavy

    headers = {"Accept-Encoding": "identity"}
    headers |= {} if auth is None else {"Authorization": auth.header}
    silence = _SILENCE if total is None else None
    timeout = aiohttp.ClientTimeout(total=total, sock_connect=_CONNECT, sock_read=silence)
    connector = OwnConnector(server, endpoint, force_close=not keeps)
    # What it sends is not compressed, so there is nothing to unpack.
    async with aiohttp.ClientSession(
        connector=connector, timeout=timeout, headers=headers, auto_decompress=False
    ) as session:
        yield session


@contextmanager
def _as_os_errors(url: str, seconds: float) -> Iterator[None]:
    import aiohttp  # noqa: PLC0415 - heavy

    try:
        yield
    except TimeoutError:
        raise TimeoutError(f"{url} did not answer in {seconds:g} s") from None
    except PortInUse as error:
        raise OSError(f"{url}: {error.message}") from error
    except aiohttp.ClientError as error:
        raise OSError(f"{url}: {error}") from error
