"""The few requests that hostler makes to OpenCode itself; aiohttp is imported when the first one is made."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from hostler import Auth


async def status_of(
    url: str, auth: Auth | None, *, method: Literal["GET", "POST"] = "GET", deadline: float = 5.0
) -> int:
    """The status of one answer, its body unread; OSError or TimeoutError (seconds) without one."""
    import aiohttp  # noqa: PLC0415 - heavy, and warmed up while the server starts

    headers: Mapping[str, str] = {} if auth is None else {"Authorization": auth.header}
    timeout = aiohttp.ClientTimeout(total=deadline)

    try:
        async with (
            aiohttp.ClientSession(timeout=timeout, headers=headers, auto_decompress=False) as session,
            session.request(method, url, allow_redirects=False) as answer,
        ):
            return answer.status
    except TimeoutError:
        raise TimeoutError(f"{url} did not answer in {deadline:g} s") from None
    except aiohttp.ClientError as error:
        raise OSError(f"{url}: {error}") from error
