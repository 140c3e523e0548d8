"""The watchdog of a server that speaks the notify protocol."""

from __future__ import annotations

import time
from pathlib import Path

import anyio
import pytest
from hostler import (
    Directories,
    HealthReported,
)
from notify_servers import SPEAKER, kept, python

LISTENS = "for line in os.fdopen"


pytestmark = pytest.mark.usefixtures("no_socket_folder_is_left")


async def test_a_watchdog_begins_with_ready_and_each_silence_is_a_failure(
    directories: Directories, tmp_path: Path
) -> None:
    async with kept(directories, tmp_path, options={"watchdog": "200ms", "failures": 3}) as worker:
        await anyio.sleep(0.4)  # it is not ready: nothing is due
        await worker.say("WATCHDOG=1")
        await worker.say("READY=1")
        await worker.server.wait_ready(10)
        began = time.monotonic()
        await worker.until(lambda: bool(worker.server.crashes))
        assert time.monotonic() - began >= 0.5

    assert worker.server.crashes[0].reason.endswith(
        "notify-ready: no WATCHDOG=1 for 0.2 s (3 times in a row)"
    )


async def test_a_server_that_says_watchdog_1_in_time_is_let_be_and_a_late_one_is_healthy_again(
    directories: Directories, tmp_path: Path
) -> None:
    async with kept(directories, tmp_path, options={"watchdog": "500ms", "failures": 50}) as worker:
        await worker.say("READY=1")
        await worker.server.wait_ready(10)
        for _ in range(15):
            await anyio.sleep(0.1)
            await worker.say("WATCHDOG=1")
        assert [event for event in worker.events if isinstance(event, HealthReported)][-1].healthy
        await worker.health("unhealthy")
        await worker.say("WATCHDOG=1")
        await worker.health("healthy")


async def test_a_watchdog_can_be_set_longer_by_the_server_and_triggered(
    directories: Directories, tmp_path: Path
) -> None:
    async with kept(directories, tmp_path, options={"watchdog": "300ms", "failures": 1}) as worker:
        await worker.say("READY=1", "WATCHDOG_USEC=60000000")
        await worker.server.wait_ready(10)
        await worker.say("WATCHDOG_USEC=0", "WATCHDOG_USEC=x")
        await anyio.sleep(0.6)
        assert worker.server.health == "healthy"
        await worker.say("WATCHDOG=trigger")
        await worker.until(lambda: bool(worker.server.crashes))

    assert worker.server.crashes[0].reason.endswith("it asks for its restart (WATCHDOG=trigger)")


async def test_a_server_that_stands_still_is_found_out(directories: Directories, tmp_path: Path) -> None:
    code = SPEAKER.replace(
        LISTENS,
        "say('READY=1'); import time\nwhile not os.path.exists('stop'): say('WATCHDOG=1'); time.sleep(0.02)\n"
        "os.remove('stop'); os.kill(os.getpid(), 19)\n" + LISTENS,
    )
    options = {"watchdog": "300ms", "failures": 1}
    async with kept(directories, tmp_path, *python(code), options=options) as worker:
        await worker.server.wait_ready(10)
        await anyio.sleep(0.6)
        assert worker.server.health == "healthy"
        (tmp_path / "stop").touch()
        await worker.until(lambda: bool(worker.server.crashes))
        await worker.server.wait_ready(10)
