"""What all tests share. The fixture hostler_server comes with hostler."""

from __future__ import annotations

import shutil

import pytest


@pytest.fixture
def anyio_backend() -> str:
    """hostler runs on asyncio."""
    return "asyncio"


@pytest.fixture
def redis_server() -> list[str]:
    """The command of a real Redis server."""
    if shutil.which("redis-server") is None:
        pytest.skip("there is no redis-server here (Debian: apt-get install redis-server)")
    return ["redis-server"]
