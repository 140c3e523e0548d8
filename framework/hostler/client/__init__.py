"""Calls the hostler that supervises a configuration in another process, from any Python program."""

from typing import TYPE_CHECKING

from hostler.control import shapes as shapes
from hostler.control.log_shapes import (
    LogEnd as LogEnd,
    LogLine as LogLine,
    LogPage as LogPage,
    LogRun as LogRun,
)
from hostler.imports.lazy_exports import lazy_exports

if TYPE_CHECKING:
    from hostler.client.async_feed import AsyncFeed as AsyncFeed
    from hostler.client.asynchronous import AsyncClient as AsyncClient
    from hostler.client.blocking import Client as Client
    from hostler.client.errors import (
        NotRunning as NotRunning,
        RequestRefused as RequestRefused,
        Unreachable as Unreachable,
    )
    from hostler.client.feed import Feed as Feed
    from hostler.client.frames import Gap as Gap

__all__, __getattr__, __dir__ = lazy_exports(
    __name__,
    {
        "async_feed": "AsyncFeed",
        "asynchronous": "AsyncClient",
        "blocking": "Client",
        "errors": "NotRunning RequestRefused Unreachable",
        "feed": "Feed",
        "frames": "Gap",
    },
)
__all__ += ["LogEnd", "LogLine", "LogPage", "LogRun", "shapes"]
