"""Fixtures for tests of plugins: `hostler_server`, `fake_server`, `virtual_clock`; they need anyio's plugin.

pytest loads this in every project's tests, so it does nothing and imports nothing until a fixture is used.
"""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator, Callable, Generator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

_ON_ANYIO = pytest.StashKey[bool]()

if TYPE_CHECKING:
    from hostler.testing.servers import Servers
    from hostler.testing.simulation.virtual_clock import VirtualClock


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Have tests with a virtual clock run on its loop, whatever loop the others have."""
    if "virtual_clock" in metafunc.fixturenames:
        from hostler.testing.simulation.virtual_loop import VirtualLoop  # noqa: PLC0415

        backend = ("asyncio", {"loop_factory": VirtualLoop})
        metafunc.parametrize("anyio_backend", [pytest.param(backend, id="virtual")])


@pytest.hookimpl(wrapper=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> Generator[None, object, object]:
    """Have a test run on the loop of our fixtures where pytest-asyncio has wrapped it for its own."""
    test = getattr(pyfuncitem.obj, "__wrapped__", None)
    if pyfuncitem.stash.get(_ON_ANYIO, False) and not inspect.iscoroutinefunction(pyfuncitem.obj):
        pyfuncitem.obj = test if inspect.iscoroutinefunction(test) else pyfuncitem.obj
    return (yield)


@pytest.fixture
async def hostler_server(
    anyio_backend_name: str, request: pytest.FixtureRequest, tmp_path: Path
) -> AsyncIterator[Servers]:
    """Starts real servers: `server = await hostler_server(command, plugins={"caddy": {...}})`.

    They live in a home of their own, and are stopped at the end of the test: then nothing may be left.
    """
    _refuse_trio(anyio_backend_name)
    _note_loop(request)
    from hostler.testing.servers import Servers  # noqa: PLC0415

    servers = Servers(tmp_path / "hostler-home", request.path.parent)
    yield servers
    await servers.close()


@pytest.fixture
async def virtual_clock(
    anyio_backend_name: str, request: pytest.FixtureRequest, tmp_path: Path
) -> AsyncIterator[VirtualClock]:
    """Time that jumps, and servers with simulated children: `await virtual_clock.server(plugins=...)`."""
    loop = _note_loop(request)
    from hostler.testing.simulation.virtual_clock import VirtualClock  # noqa: PLC0415
    from hostler.testing.simulation.virtual_loop import VirtualLoop  # noqa: PLC0415

    if not isinstance(loop, VirtualLoop):
        pytest.fail(
            "virtual_clock runs on a loop of anyio's plugin, and pytest-asyncio took it over: "
            'set asyncio_mode = "strict" in pytest\'s configuration',
            pytrace=False,
        )

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


def _note_loop(request: pytest.FixtureRequest) -> object:
    """Note on the test whether anyio's plugin runs its fixtures: in its auto mode pytest-asyncio may, too.

    Returns the loop on which they run.
    """
    import asyncio  # noqa: PLC0415 - see the top

    task = asyncio.current_task()
    frames = [] if task is None else task.get_stack(limit=1)
    request.node.stash[_ON_ANYIO] = any("anyio" in Path(frame.f_code.co_filename).parts for frame in frames)
    return asyncio.get_running_loop()
