"""What a server says over its notify socket besides that it is ready."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from health_servers import open_files
from hostler import (
    Directories,
    PluginSpec,
    Progress,
    State,
)
from notify_servers import SPEAKER, kept, python

LISTENS = "for line in os.fdopen"


pytestmark = pytest.mark.usefixtures("no_socket_folder_is_left")


async def test_its_status_is_shown_in_one_clean_line_and_not_in_a_flood(
    directories: Directories, tmp_path: Path
) -> None:
    async with kept(directories, tmp_path) as worker:
        await worker.say("STATUS=step 1 \x1b[31mof\t3 " + "x" * 500, "READY=1")
        await worker.server.wait_ready(10)
        for number in range(300):
            await worker.say(f"STATUS=number {number}")
        await worker.until(lambda: worker.notices("notify_status")[-1:] == ["number 299"])

    (progress,) = [event.text for event in worker.events if isinstance(event, Progress)]
    assert progress.startswith("step 1  [31mof 3 xxx")
    assert len(progress) <= 200
    assert len(worker.notices("notify_status")) < 100


async def test_a_secret_in_its_status_is_masked(directories: Directories, tmp_path: Path) -> None:
    env = {"API_TOKEN": "sk-0123456789abcdef"}
    allowing = PluginSpec("env-sanitizer", {"allow": ["API_TOKEN"]})
    async with kept(directories, tmp_path, env=env, before=(allowing,)) as worker:
        await worker.say("READY=1")
        await worker.server.wait_ready(10)
        await worker.say("STATUS=with sk-0123456789abcdef")
        await worker.until(lambda: bool(worker.notices("notify_status")))
    assert worker.notices("notify_status") == ["with ********"]


async def test_reloading_is_told_and_no_failure(directories: Directories, tmp_path: Path) -> None:
    async with kept(directories, tmp_path) as worker:
        await worker.say("READY=1")
        await worker.server.wait_ready(10)
        await worker.say("RELOADING=1", "MONOTONIC_USEC=1")
        await worker.until(lambda: bool(worker.notices("notify_reloading")))
        assert worker.server.health == "healthy"
        await worker.say("READY=1")


async def test_stopping_is_its_last_word(directories: Directories, tmp_path: Path) -> None:
    async with kept(directories, tmp_path) as worker:
        await worker.say("READY=1")
        await worker.server.wait_ready(10)
        await worker.say("STOPPING=1")
        await worker.health("unhealthy")
        assert worker.server.state is State.RUNNING
        assert worker.server.pid is not None
        os.kill(worker.server.pid, 9)
        await worker.until(lambda: bool(worker.server.crashes))

    words = [word.text for word in worker.server.crashes[0].plugins if word.hook == "health_check"]
    assert words == ["unhealthy (1 in a row): it says that it is stopping (STOPPING=1)"]


async def test_errors_and_a_main_process_are_told(directories: Directories, tmp_path: Path) -> None:
    async with kept(directories, tmp_path) as worker:
        await worker.say("ERRNO=28", "MAINPID=42")
        await worker.say("ERRNO=many", "BUSERROR=org.example.Error")
        await worker.until(lambda: len(worker.notices("notify_error")) == 3)

    assert worker.notices("notify_error") == [
        "it reports the error No space left on device (ERRNO=28)",
        "it reports the error ERRNO=many",
        "it reports the error org.example.Error",
    ]
    assert worker.notices("notify_main_pid") == ["it calls pid 42 its main process"]


async def test_what_cannot_be_had_is_refused_once(directories: Directories, tmp_path: Path) -> None:
    async with kept(directories, tmp_path) as worker:
        for _ in range(3):
            await worker.say("FDSTORE=1", "FDNAME=x", "EXTEND_TIMEOUT_USEC=1000000")
        await worker.say("READY=1")
        await worker.server.wait_ready(10)

    assert worker.notices("notify_refused") == [
        "it asks for FDSTORE: file descriptors are not stored for it",
        "it asks for EXTEND_TIMEOUT_USEC: its time is not extended: see startup_timeout",
    ]


async def test_descriptors_are_closed_so_that_a_barrier_ends(
    directories: Directories, tmp_path: Path
) -> None:
    """The protocol of sd_notify_barrier(3): the sender waits until its end of a pipe is hung up."""
    code = SPEAKER.replace(
        LISTENS,
        "import select\n"
        "say('FDSTORE=1', fds=[os.open('/dev/null', os.O_RDONLY) for _ in range(200)])\n"
        "ends = os.pipe(); say('BARRIER=1', fds=[ends[1]]); os.close(ends[1])\n"
        "poll = select.poll(); poll.register(ends[0], 0); hung_up = poll.poll(5000)\n"
        "say('READY=1' if hung_up else 'STATUS=stuck')\n" + LISTENS,
    )
    async with kept(directories, tmp_path, *python(code)) as worker:
        files = open_files()
        await worker.server.wait_ready(10)
        assert open_files() < files + 100
