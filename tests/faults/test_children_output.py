"""Children that write what no server should write, or more of it than anybody can read."""

from __future__ import annotations

import os
import re
import sys
import time
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import anyio
import psutil
import pytest
from hostler import Directories, Event, Notice, PluginSpec, ServerSpec, State, Supervisor
from leaks import assert_no_leaks
from specs import MakeSpec, announced

PYTHON = (sys.executable, "-I", "-S", "-c")
MIB = 2**20

# Everything but a line end: NUL, what is no UTF-8, carriage returns, escape sequences.
PIECE = bytes(byte for byte in range(256) if byte != 0x0A) * 257


@pytest.fixture(autouse=True)
def no_trace_is_left(directories: Directories) -> Iterator[None]:
    with assert_no_leaks(directories):
        yield


def logging_spec(make_spec: MakeSpec, *command: str, **fields: Any) -> ServerSpec:
    """A server that is waited for: every line is looked at for its port, and all of it is logged."""
    log = PluginSpec("log-rotation", {"max_size": "1 GiB", "path": "out.log"})
    given: dict[str, Any] = {"startup_timeout": 170.0, "plugins": (announced(), log)}
    return make_spec(command=command, **(given | fields))


def log_of(directories: Directories) -> Path | None:
    return next(directories.data.rglob("out.log"), None)


def size_of(directories: Directories) -> int:
    log = log_of(directories)
    return 0 if log is None else log.stat().st_size


def chunks(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while piece := file.read(MIB):
            yield piece


async def grows_to(directories: Directories, size: int, seconds: float = 60.0) -> int:
    """Wait until the log has this size; the most resident memory of this process on the way."""
    own, most = psutil.Process(), 0
    with anyio.fail_after(seconds):
        while size_of(directories) < size:
            most = max(most, own.memory_info().rss)
            await anyio.sleep(0.01)
    return most


NO_LINE_END = """
import os, sys, time
piece = bytes(byte for byte in range(256) if byte != 0x0A) * 257
for _ in range(int(sys.argv[1])):
    data = piece
    while data:
        data = data[os.write(1, data):]
time.sleep(300)
"""


async def test_100_mb_without_a_line_end_are_logged_byte_for_byte_in_little_memory(
    make_spec: MakeSpec, directories: Directories
) -> None:
    count = 100_000_000 // len(PIECE) + 1
    before = psutil.Process().memory_info().rss
    spec = logging_spec(make_spec, *PYTHON, NO_LINE_END, str(count))
    async with Supervisor(spec, directories=directories) as supervisor:
        most = await grows_to(directories, count * len(PIECE))
        assert supervisor["fake"].state is State.WAITING_READY
        await supervisor["fake"].stop()

    assert most - before < 40 * MIB
    log = log_of(directories)
    assert log is not None
    written, expected = sha256(), sha256()

    for piece in chunks(log):
        written.update(piece)

    for _ in range(count):
        expected.update(PIECE)

    assert log.stat().st_size == count * len(PIECE)
    assert written.digest() == expected.digest()


WRITES = """
import os, sys, time
data = bytes.fromhex(sys.argv[2])
os.write(int(sys.argv[1]), data)
time.sleep(300)
"""

ODD = [
    pytest.param(b"\0\0one\0two\n\0", id="nul"),
    pytest.param(b"\xff\xfe\x80 \xc3\n\xe2\x82\n\xf0\x9f\x92", id="broken-utf-8"),
    pytest.param("é 漢 🙂\u2028 \x85 \x1b[31mred\x1b[0m\r\r\n\n\r".encode(), id="odd-text"),
    pytest.param(b"x" * 20000 + b"\n" + b"\0" * 20000, id="long"),
]


@pytest.mark.parametrize("stream", [1, 2])
@pytest.mark.parametrize("data", ODD)
async def test_odd_bytes_are_logged_as_they_are(
    make_spec: MakeSpec, directories: Directories, data: bytes, stream: int
) -> None:
    spec = logging_spec(make_spec, *PYTHON, WRITES, str(stream), data.hex())
    async with Supervisor(spec, directories=directories) as supervisor:
        await grows_to(directories, len(data))
        await supervisor["fake"].stop()
    log = log_of(directories)
    assert log is not None
    assert log.read_bytes() == data


async def test_odd_bytes_before_an_announcement_do_not_hide_it(
    make_spec: MakeSpec, directories: Directories
) -> None:
    odd = ("\udcff\udcfe broken", "\x1b]0;title\x07", "x" * 20000, "\r\r")
    switches = [part for text in odd for part in ("--decoy", text)]
    spec = make_spec(*(os.fsencode(word).decode(errors="replace") for word in switches))
    async with Supervisor(spec, directories=directories) as supervisor:
        await supervisor["fake"].wait_ready(20)


FLOODS = """
import os, sys, threading, time
def flood(fd):
    number = 0
    while not os.path.exists(sys.argv[1]):
        lines = "".join(f"{fd} {n:09d} {'x' * 80}\\n" for n in range(number, number + 500)).encode()
        number += 500
        while lines:
            lines = lines[os.write(fd, lines):]
threads = [threading.Thread(target=flood, args=(fd,)) for fd in (1, 2)]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
os.write(1, b"all is said\\n")
time.sleep(300)
"""


async def test_a_flood_on_both_pipes_starves_nobody_and_every_line_is_kept_or_counted(
    make_spec: MakeSpec, directories: Directories
) -> None:
    events: list[Event] = []
    before, enough = psutil.Process().memory_info().rss, directories.state / "enough"
    flood = logging_spec(make_spec, *PYTHON, FLOODS, str(enough))
    async with Supervisor(flood, directories=directories) as supervisor:
        supervisor.listen(events.append)
        lines = supervisor["fake"].lines()
        await grows_to(directories, MIB)
        async with Supervisor(make_spec(name="beside"), directories=directories) as beside:
            await beside["beside"].wait_ready(60)
        most = await grows_to(directories, size_of(directories) + 32 * MIB)
        enough.touch()
        with anyio.fail_after(60):
            async for line in lines:
                if line.text == "all is said":
                    break
        await supervisor["fake"].stop()

    assert most - before < 80 * MIB
    log = log_of(directories)
    assert log is not None
    numbers: dict[bytes, list[int]] = {b"1": [], b"2": []}

    for found in re.finditer(rb"^([12]) (\d{9}) x{80}$", log.read_bytes(), re.MULTILINE):
        numbers[found[1]].append(int(found[2]))

    dropped = [event for event in events if isinstance(event, Notice) and event.topic == "output_dropped"]

    for one in numbers.values():
        assert len(one) > 1000
        assert one == sorted(set(one))
        assert dropped or one == list(range(len(one)))


async def test_a_server_that_floods_is_stopped_in_its_time(
    make_spec: MakeSpec, directories: Directories
) -> None:
    async with Supervisor(
        logging_spec(make_spec, *PYTHON, FLOODS, "60"), directories=directories
    ) as supervisor:
        await grows_to(directories, 10 * MIB)
        began = time.monotonic()
        await supervisor["fake"].stop()
        assert time.monotonic() - began < 2
