"""The plugin systemd, with a real socket in systemd's place, and the unit file with systemd's own checker."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import anyio
import pytest
from hostler import Directories, Event, Notice, PluginSpec, Spawned, Supervisor
from service_manager import fill
from specs import MakeSpec, announced

UNITS = Path(__file__).parents[3] / "configs" / "systemd"


class Manager:
    """What systemd would hear, datagram by datagram."""

    def __init__(self, address: str) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(address)
        self._socket.setblocking(False)

    async def hear(self, line: str) -> list[str]:
        """The lines of the next datagram that holds this one."""
        with anyio.fail_after(20):
            while True:
                try:
                    lines = self._socket.recv(4096).decode().splitlines()
                except BlockingIOError:
                    await anyio.wait_readable(self._socket)
                    continue
                if any(one.startswith(line) for one in lines):
                    return lines

    def close(self) -> None:
        self._socket.close()


@pytest.fixture
def address(tmp_path: Path) -> str:
    return str(tmp_path / "notify")


@pytest.fixture
def manager(address: str) -> Iterator[Manager]:
    manager = Manager(address)
    yield manager
    manager.close()


def keep(
    make_spec: MakeSpec,
    directories: Directories,
    environ: dict[str, str],
    into: list[Event],
    **options: object,
) -> Supervisor:
    spec = make_spec(plugins=(announced(), PluginSpec("systemd", options)))
    supervisor = Supervisor(spec, directories=directories, environ=os.environ | environ)
    supervisor.listen(into.append)
    return supervisor


async def test_systemd_hears_when_the_server_is_ready_and_how_it_is(
    make_spec: MakeSpec, directories: Directories, manager: Manager, address: str
) -> None:
    events: list[Event] = []
    async with keep(make_spec, directories, {"NOTIFY_SOCKET": address}, events) as supervisor:
        server = supervisor["fake"]
        assert await manager.hear("STATUS") == ["STATUS=fake: starting"]
        ready = await manager.hear("READY=1")
        assert ready == ["READY=1", f"STATUS=fake: running at {server.url} (pid {server.pid})"]
        assert server.pid is not None
        os.kill(server.pid, signal.SIGKILL)
        assert await manager.hear("STATUS=fake: crashed") == ["STATUS=fake: crashed, killed by SIGKILL"]
        await manager.hear("READY=1")
        await server.stop()
        assert await manager.hear("STATUS=fake: stopping") == ["STATUS=fake: stopping, stop asked for"]

    (first, _) = [event for event in events if isinstance(event, Spawned)]
    assert "NOTIFY_SOCKET" not in first.env


async def test_the_watchdog_is_told_that_hostler_lives_until_the_server_is_at_rest(
    make_spec: MakeSpec, directories: Directories, manager: Manager, address: str
) -> None:
    environ = {"NOTIFY_SOCKET": address, "WATCHDOG_USEC": "40000", "WATCHDOG_PID": str(os.getpid())}
    async with keep(make_spec, directories, environ, [], status=False) as supervisor:
        server = supervisor["fake"]
        assert await manager.hear("WATCHDOG") == ["WATCHDOG_USEC=40000"]
        assert await manager.hear("READY=1") == ["READY=1"]
        assert server.pid is not None
        os.kill(server.pid, signal.SIGKILL)
        await server.until(lambda: server.generation == 2)
        await server.wait_ready(20)
        for _ in range(5):
            assert await manager.hear("WATCHDOG") == ["WATCHDOG=1"]
        await server.stop()
        await manager.hear("WATCHDOG_USEC=0")
        await server.start()
        assert await manager.hear("WATCHDOG_USEC") == ["WATCHDOG_USEC=40000"]


async def test_a_manager_that_has_not_read_for_a_while_still_hears_the_watchdog(
    make_spec: MakeSpec, directories: Directories, manager: Manager, address: str
) -> None:
    environ, events = {"NOTIFY_SOCKET": address, "WATCHDOG_USEC": "2000"}, list[Event]()
    async with keep(make_spec, directories, environ, events) as supervisor:
        await supervisor.wait_ready(timeout=20)
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as other:
            other.setblocking(False)
            for _ in range(20):
                with suppress(BlockingIOError):
                    while True:
                        other.sendto(b"", address)
                await asyncio.sleep(0.001)  # a beat
        for _ in range(20):  # more than a socket holds
            await manager.hear("WATCHDOG=1")
    assert not [event for event in events if isinstance(event, Notice)]


async def test_a_manager_that_reads_late_hears_that_the_server_is_ready(
    make_spec: MakeSpec, directories: Directories, manager: Manager, address: str
) -> None:
    fill(address)
    async with keep(make_spec, directories, {"NOTIFY_SOCKET": address}, []) as supervisor:
        await supervisor.wait_ready(timeout=20)
        await manager.hear("READY=1")


async def test_a_manager_that_reads_late_does_not_hear_that_a_server_was_ready_which_has_stopped(
    make_spec: MakeSpec, directories: Directories, manager: Manager, address: str
) -> None:
    fill(address)
    async with keep(make_spec, directories, {"NOTIFY_SOCKET": address}, []) as supervisor:
        await supervisor.wait_ready(timeout=20)
        await supervisor["fake"].stop()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.5):  # it would have been told again after 0.1 s
                await manager.hear("READY=1")


async def test_outside_of_systemd_it_does_nothing(make_spec: MakeSpec, directories: Directories) -> None:
    events: list[Event] = []
    environ = {"NOTIFY_SOCKET": "", "WATCHDOG_USEC": "40000"}
    async with keep(make_spec, directories, environ, events) as supervisor:
        await supervisor.wait_ready(timeout=20)
    assert not [event for event in events if isinstance(event, Notice)]


@pytest.mark.parametrize("wrong", ["{}/gone", "vsock:2:1234"])
async def test_a_socket_that_is_gone_is_told_once_and_hurts_nobody(
    make_spec: MakeSpec, directories: Directories, tmp_path: Path, wrong: str
) -> None:
    events: list[Event] = []
    environ = {"NOTIFY_SOCKET": wrong.format(tmp_path)}
    async with keep(make_spec, directories, environ, events) as supervisor:
        await supervisor.wait_ready(timeout=20)
    notices = [event for event in events if isinstance(event, Notice)]
    assert [event.topic for event in notices] == ["systemd_gone"]
    assert notices[0].text.startswith("systemd cannot be told anything any more: ")


@pytest.mark.requirement("R42")
@pytest.mark.parametrize("unit", sorted(UNITS.glob("*.service")), ids=lambda unit: unit.name)
def test_the_unit_files_are_right_in_systemds_eyes(unit: Path) -> None:
    analyze = shutil.which("systemd-analyze") or pytest.skip("systemd is not installed")
    done = subprocess.run([analyze, "verify", unit], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")
