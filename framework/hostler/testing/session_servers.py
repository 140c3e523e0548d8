"""The servers of a hostler.toml for all tests of somebody's project, once for each worker."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from hostler.errors import ServerError
from hostler.process.disk.directories import Directories
from hostler.sync.serve import serve
from hostler.sync.servers import BlockingServer, BlockingSupervisor

_READY_SECONDS = 60.0


def hostler_servers(
    file: str | os.PathLike[str] = "hostler.toml", *, timeout: float = _READY_SECONDS, **options: Any
) -> Callable[..., Any]:
    """Make a session-wide fixture of the servers in a file; in conftest.py: `servers = hostler_servers()`.

    A test that takes it gets a BlockingSupervisor: `servers["web"].url`. Its servers are ready before the
    first test that takes it, within `timeout` seconds, and stopped after the last one. A relative path is
    seen from pytest's root folder; `options` are those of `serve`. Logs, locks and records go to a temporary
    folder, so each worker of pytest-xdist has servers of its own. What they write to their output is
    captured as what the tests print: pytest shows it for a test that fails.
    """

    @pytest.fixture(scope="session")
    def servers(
        request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
    ) -> Iterator[BlockingSupervisor]:
        folder = tmp_path_factory.mktemp("hostler")
        own = {"directories": Directories(folder / "state", folder / "data", folder / "cache")}
        with _ready(request.config.rootpath / file, timeout, own | options) as supervisor:
            yield supervisor

    return servers


@contextmanager
def _ready(file: Path, timeout: float, options: dict[str, Any]) -> Iterator[BlockingSupervisor]:
    with ExitStack() as stack:
        try:
            supervisor = stack.enter_context(serve(file, **options))
            for server in supervisor.values():
                _show_lines(server)
            supervisor.wait_ready(timeout=timeout)
        except ServerError as error:
            # Without the frames of hostler, which tell nothing about the server.
            pytest.fail(_in_words(error), pytrace=False)
        yield supervisor


def _show_lines(server: BlockingServer) -> None:
    """Print the output of a server: pytest captures it with the test that is running."""

    def show() -> None:
        for line in lines:
            with suppress(ValueError):  # pytest has just closed what it captured with
                sys.stdout.write(f"{server.name} | {line.text}\n")

    lines = server.lines()
    thread = Thread(target=show, name=f"output of {server.name}", daemon=True)
    thread.start()


def _in_words(error: ServerError) -> str:
    context = error.context
    output = [text for text in (context.stdout, context.stderr) if text]
    return "\n".join([f"hostler_servers: {error}", *output])
