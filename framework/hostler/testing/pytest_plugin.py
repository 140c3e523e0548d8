"""Fixtures for tests of plugins: `hostler_server`, `fake_server`, `virtual_clock`; they need anyio's plugin.

pytest loads this in every project's tests, so it does nothing and imports nothing until a fixture is used.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from hostler.testing.servers import Servers
    from hostler.testing.simulation.virtual_clock import VirtualClock


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Have tests with a virtual clock run on its loop, whatever loop the others have."""
    if "virtual_clock" in metafunc.fixturenames:
        from hostler.testing.simulation.virtual_loop import VirtualLoop  # noqa: PLC0415

        backend = ("asyncio", {"loop_factory": VirtualLoop})
        metafunc.parametrize("anyio_backend", [pytest.param(backend, id="virtual")])


@pytest.fixture
async def hostler_server(
    anyio_backend_name: str, request: pytest.FixtureRequest, tmp_path: Path
) -> AsyncIterator[Servers]:
    """Starts real servers: `server = await hostler_server(command, plugins={"caddy": {...}})`.

    They live in a home of their own, and are stopped at the end of the test: then nothing may be left.
    """
    _refuse_trio(anyio_backend_name)
    from hostler.testing.servers import Servers  # noqa: PLC0415

    servers = Servers(tmp_path / "hostler-home", request.path.parent)
    yield servers
    await servers.close()


@pytest.fixture
async def virtual_clock(
    anyio_backend_name: str, request: pytest.FixtureRequest, tmp_path: Path
) -> AsyncIterator[VirtualClock]:
    """Time that jumps, and servers with simulated children: `await virtual_clock.server(plugins=...)`."""
    from hostler.testing.simulation.virtual_clock import VirtualClock  # noqa: PLC0415

    clock = VirtualClock(tmp_path / "hostler-home", request.path.parent)
    yield clock
    await clock.close()


@pytest.fixture
def fake_server() -> Callable[..., list[str]]:
    """The command of a real server that does what its switches say: `fake_server("--term-delay", "1")`."""
    from hostler.testing.fake_command import fake_server_command  # noqa: PLC0415

    return fake_server_command


def _refuse_trio(backend: str) -> None:
    if backend != "asyncio":
        pytest.fail(
            "hostler runs on asyncio: have a fixture anyio_backend in conftest.py that returns it",
            pytrace=False,
        )
