"""Whose messages on the notify socket count."""

from __future__ import annotations

import os
import socket
import sys
import time
from pathlib import Path

import anyio
import pytest
from hostler import (
    Directories,
    State,
)
from notify_servers import SPEAKER, kept, python

LISTENS = "for line in os.fdopen"
needs_linux = pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells who sent a message")


pytestmark = pytest.mark.usefixtures("no_socket_folder_is_left")


def send(path: Path, *messages: bytes) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as ours:
        for message in messages:
            ours.sendto(message, str(path))


@needs_linux
async def test_a_stranger_is_refused_counted_and_said(directories: Directories, tmp_path: Path) -> None:
    async with kept(directories, tmp_path, startup_timeout=30.0) as worker:
        await worker.until(
            lambda: (tmp_path / "environment").exists() and "NOTIFY" in str(worker.environment)
        )
        path = worker.socket
        for _ in range(12):
            await anyio.to_thread.run_sync(send, path, b"READY=1")
        await worker.until(lambda: len(worker.notices("notify_refused")) == 2)
        assert worker.server.state is State.WAITING_READY
        await worker.say("READY=1")
        await worker.server.wait_ready(10)

    first, tenth, last = worker.notices("notify_refused")
    why = f"pid {os.getpid()} is not a living process of this server"
    assert first == f"a message to NOTIFY_SOCKET is refused: {why} (1 so far)"
    assert tenth.endswith("(10 so far)")
    assert last == "12 messages to NOTIFY_SOCKET were refused in this run"


async def test_a_descendant_in_a_session_of_its_own_may_speak(
    directories: Directories, tmp_path: Path
) -> None:
    code = SPEAKER.replace(LISTENS, "if os.fork(): os.wait()\nos.setsid()\n" + LISTENS)
    async with kept(directories, tmp_path, *python(code)) as worker:
        await worker.say("READY=1")
        await worker.server.wait_ready(10)


@needs_linux
async def test_a_sender_that_has_ended_before_it_is_heard_is_no_part_of_the_server(
    directories: Directories, tmp_path: Path
) -> None:
    code = SPEAKER.replace(
        LISTENS,
        "if not os.fork():\n    import time; time.sleep(0.3); say('READY=1'); os._exit(0)\n"
        "os.wait(); open('gone', 'w').close()\n" + LISTENS,
    )
    async with kept(directories, tmp_path, *python(code), startup_timeout=30.0) as worker:
        await worker.until(lambda: worker.server.pid is not None)
        while not (tmp_path / "gone").exists():
            time.sleep(0.02)  # noqa: ASYNC251 - hostler is busy until the sender is gone
        await worker.until(lambda: bool(worker.notices("notify_refused")))
        assert worker.server.state is State.WAITING_READY
        await worker.say("READY=1")
        await worker.server.wait_ready(10)


async def test_a_message_that_is_too_large_is_refused(directories: Directories, tmp_path: Path) -> None:
    async with kept(directories, tmp_path) as worker:
        await worker.say("READY=1", "X=" + "x" * 5000)
        await worker.until(lambda: bool(worker.notices("notify_refused")))
        assert worker.server.state is State.WAITING_READY
    assert "it is larger than 4096 bytes" in worker.notices("notify_refused")[0]


async def test_bytes_that_are_no_text_hurt_nobody(directories: Directories, tmp_path: Path) -> None:
    code = SPEAKER.replace(
        LISTENS,
        "ours.sendto(b'\\xff\\0=\\n\\nSTATUS=\\xff\\nERRNO=\\n=\\n', os.environ['NOTIFY_SOCKET'])\n"
        "ours.sendto(b'', os.environ['NOTIFY_SOCKET'])\nsay('READY=1')\n" + LISTENS,
    )
    async with kept(directories, tmp_path, *python(code)) as worker:
        await worker.server.wait_ready(10)
