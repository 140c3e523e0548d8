"""The few requests that hostler makes to OpenCode itself; aiohttp is imported when the first one is made."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from hostler import Auth, Endpoint, PortInUse, ServerView


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


async def status_of(
    place: Place, auth: Auth | None, *, method: Literal["GET", "POST"] = "GET", deadline: float = 5.0
) -> int:
    """The status of one answer, its body unread; OSError or TimeoutError (seconds) without one."""
    import aiohttp  # noqa: PLC0415 - heavy, and warmed up while the server starts

    from hostler_plugins._own_connector import OwnConnector  # noqa: PLC0415 - heavy

    url = place.url
    headers: Mapping[str, str] = {} if auth is None else {"Authorization": auth.header}
    timeout = aiohttp.ClientTimeout(total=deadline)
    try:
        async with (
            aiohttp.ClientSession(
                connector=OwnConnector(place.server, place.endpoint, force_close=True),
                timeout=timeout,
                headers=headers,
                # Bodies are not read, so there is nothing to unpack.
                auto_decompress=False,
            ) as session,
            session.request(method, url, allow_redirects=False) as answer,
        ):
            return answer.status
    except TimeoutError:
        raise TimeoutError(f"{url} did not answer in {deadline:g} s") from None
    except PortInUse as error:
        raise OSError(f"{url}: {error.message}") from error
    except aiohttp.ClientError as error:
        raise OSError(f"{url}: {error}") from error
