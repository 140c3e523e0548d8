"""http-health in the life of a real server: secrets, thresholds, and what it costs."""

from __future__ import annotations

import asyncio
import os
import selectors
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import anyio
import pytest
from hostler import (
    Directories,
    Duration,
    Endpoint,
    Event,
    HealthReported,
    Server,
    ServerSpec,
    StartupTimeout,
    Supervisor,
    from_dict,
)
from hostler_plugins.http_health import HttpHealth
from http_pages import HealthContext, healthy, watching
from specs import QUICK

SECRET, SIGNED = "sk-0123456789abcdef", "tk-fedcba9876543210"

# Answers over one connection again and again; says in its answer what X-Token and what signature it was sent.
SERVER = """
import http.server, os, sys
class Answers(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        broken = os.path.exists("broken")
        signature = self.headers.get("Authorization", "").split()[1:]
        sent = [str(self.headers.get("X-Token")), *signature]
        body = f"broken, {' '.join(sent)}" if broken else self.headers.get("X-Token", "fine")
        self.send_response(500 if broken else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body.encode())
    def log_message(self, *_): pass
kept = http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Answers)
print(kept.server_address[1], flush=True)
kept.serve_forever()
"""


def serving(folder: Path, **options: Any) -> ServerSpec:
    table = {
        "servers": {
            "web": {
                "command": [sys.executable, "-I", "-c", SERVER, "${server.port}"],
                "cwd": str(folder),
                "plugins": {"http-health": {"interval": "50ms"} | options},
            }
        }
    }
    return replace(from_dict(table, base=folder).servers["web"], restart=QUICK)


async def test_a_secret_header_is_sent_and_never_told(directories: Directories, tmp_path: Path) -> None:
    events: list[Event] = []
    headers = {"X-Token": {"secret": "env:WEB_TOKEN"}, "Authorization": f"Signature {SIGNED}"}
    spec = serving(tmp_path, headers=headers, body=f"^{SECRET}$")
    environ = dict(os.environ) | {"WEB_TOKEN": SECRET}
    async with Supervisor(spec, directories=directories, environ=environ) as supervisor:
        supervisor.listen(events.append)
        server = supervisor["web"]
        await server.wait_ready(20)
        (tmp_path / "broken").touch()
        with anyio.fail_after(20):
            await server.until(lambda: bool(server.crashes))

    assert "500 Internal Server Error: broken, ******** ********" in server.crashes[0].reason

    for secret in (SECRET, SIGNED):
        assert secret not in repr(events)
        assert secret not in repr(server.crashes)


async def says(server: Server, health: str) -> None:
    with anyio.fail_after(20):
        await server.until(lambda: server.health == health)


@pytest.mark.parametrize("failures", [None, 2])
async def test_so_many_failures_are_a_crash_and_it_comes_back(
    directories: Directories, tmp_path: Path, failures: int | None
) -> None:
    options = {} if failures is None else {"failures": failures}
    async with Supervisor(serving(tmp_path, **options), directories=directories) as supervisor:
        server = supervisor["web"]
        await server.wait_ready(20)
        (tmp_path / "broken").touch()
        with anyio.fail_after(20):
            await server.until(lambda: bool(server.crashes))
        (tmp_path / "broken").unlink()
        await server.wait_ready(20)

    row = failures or 3
    assert server.crashes[0].reason.endswith(
        f"500 Internal Server Error: broken, None ({row} times in a row)"
    )


async def test_a_few_failures_are_none_and_are_forgotten_after_a_good_answer(
    directories: Directories, tmp_path: Path
) -> None:
    events: list[Event] = []

    async with Supervisor(serving(tmp_path, failures=1000), directories=directories) as supervisor:
        supervisor.listen(events.append)
        server = supervisor["web"]
        await server.wait_ready(20)
        for health in ("unhealthy", "healthy", "unhealthy"):
            (tmp_path / "broken").touch() if health == "unhealthy" else (tmp_path / "broken").unlink()

            await says(server, health)

    rows = [event.failures for event in events if isinstance(event, HealthReported)]
    assert rows.count(1) >= 2, "counted from 1 again"
    assert not server.crashes


async def test_a_start_that_never_gets_the_right_answer_says_what_came_instead(
    directories: Directories, tmp_path: Path
) -> None:
    spec = serving(tmp_path, content_type="application/json")
    never = replace(QUICK, start_retries=0)
    async with Supervisor(
        replace(spec, startup_timeout=1.5, restart=never), directories=directories
    ) as supervisor:
        with pytest.raises(
            StartupTimeout, match="200 OK, but with no content type instead of application/json"
        ):
            await supervisor["web"].wait_ready(20)


class Counting(selectors.DefaultSelector):
    """Counts how often the loop wakes up."""

    wakeups = 0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        self.wakeups += timeout is None or timeout > 0
        return super().select(timeout)


@pytest.fixture
def anyio_backend(request: pytest.FixtureRequest) -> Any:
    """A loop of its own for who counts its turns."""
    if "counting" not in request.fixturenames:
        return "asyncio"
    counting = request.getfixturevalue("counting")
    return "asyncio", {"loop_factory": lambda: asyncio.SelectorEventLoop(counting)}


@pytest.fixture
def counting() -> Counting:
    return Counting()


async def test_between_two_requests_it_costs_nothing(counting: Counting, tmp_path: Path) -> None:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-I", "-c", SERVER, "0"),
        stdout=asyncio.subprocess.PIPE,
        cwd=tmp_path,
    )
    try:
        assert process.stdout is not None
        endpoint = Endpoint("127.0.0.1", int(await process.stdout.readline()))
        plugin = HttpHealth(interval=Duration(0.4))
        async with watching(plugin, HealthContext(), endpoint) as reports:
            await healthy(reports)
            task = asyncio.ensure_future(anext(reports))
            await asyncio.sleep(0.05)
            before = counting.wakeups
            await asyncio.sleep(0.25)
            assert counting.wakeups - before <= 1, "the end of this very pause"
            before = counting.wakeups
            await task
            assert counting.wakeups - before <= 6
    finally:
        process.kill()
        await process.communicate()
