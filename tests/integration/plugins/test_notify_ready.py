"""notify-ready: what a server says of itself, as it would to systemd, and whose word counts."""

from __future__ import annotations

import os
import pwd
import shutil
import stat
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from bubblewrap import needs_bwrap
from health_servers import open_files
from hostler import (
    Directories,
    EnvironmentSetupFailed,
    HealthReported,
    PluginSpec,
    Progress,
    StartupTimeout,
    State,
)
from hostler.testing import FakeServerContext
from hostler_plugins.notify_ready.senders import Senders
from hostler_plugins.notify_ready.sockets import Datagram
from notify_servers import SPEAKER, kept, python
from servers import OF_PYTHON

LISTENS = "for line in os.fdopen"
needs_linux = pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells who sent a message")
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="becoming another user takes root")

systemd_notify = pytest.mark.skipif(
    shutil.which("systemd-notify") is None, reason="there is no systemd-notify"
)


def owned(path: Path) -> tuple[int, int]:
    found = path.stat()
    return stat.S_IMODE(found.st_mode), found.st_uid


pytestmark = pytest.mark.usefixtures("no_socket_folder_is_left")


# -- ready -----------------------------------------------------------------------------------------


async def test_ready_1_means_ready_and_the_socket_is_private_and_goes_with_the_run(
    directories: Directories, tmp_path: Path
) -> None:
    async with kept(directories, tmp_path) as worker:
        await worker.say("STATUS=warming up")
        await worker.until(lambda: any(isinstance(event, Progress) for event in worker.events))
        assert worker.server.state is State.WAITING_READY
        await worker.say("READY=1")
        await worker.server.wait_ready(10)
        path = worker.socket
        assert [owned(path), owned(path.parent)] == [(0o600, os.geteuid()), (0o700, os.geteuid())]
        assert len(str(path)) < 104
        assert "WATCHDOG_USEC" not in worker.environment

    assert not path.parent.exists()
    said = [(event.healthy, event.reason) for event in worker.events if isinstance(event, HealthReported)]
    assert said == [(False, "it has not said READY=1 yet"), (True, "")]


async def test_ready_0_is_nothing_and_a_start_without_a_word_times_out(
    directories: Directories, tmp_path: Path
) -> None:
    async with kept(directories, tmp_path, startup_timeout=1.0) as worker:
        await worker.say("READY=0", "nonsense", "X_OWN=1")
        with pytest.raises(StartupTimeout, match="notify-ready: it has not said READY=1 yet"):
            await worker.server.wait_ready(10)


async def test_what_is_said_before_a_port_is_known_counts(directories: Directories, tmp_path: Path) -> None:
    code = SPEAKER.replace(
        LISTENS,
        "say('READY=1'); import time; time.sleep(0.3)\n"
        "listener = socket.create_server(('127.0.0.1', int(sys.argv[1])))\n" + LISTENS,
    )
    async with kept(directories, tmp_path, *python(code), "${server.port}", port=0) as worker:
        await worker.server.wait_ready(10)


@systemd_notify
async def test_a_shell_script_that_calls_systemd_notify_is_ready(
    directories: Directories, tmp_path: Path
) -> None:
    script = "systemd-notify --ready --status='at your service' || exit 3; exec sleep 60"
    async with kept(directories, tmp_path, "/bin/sh", "-c", script) as worker:
        await worker.server.wait_ready(10)
        assert worker.notices("notify_refused") == []


@systemd_notify
@needs_root
@needs_linux
async def test_another_user_may_use_the_socket_and_nobody_else_sees_it(
    directories: Directories, tmp_path: Path
) -> None:
    script = "systemd-notify --ready || exit 3; id -u > /dev/null; exec sleep 60"
    async with kept(directories, tmp_path, "/bin/sh", "-c", script, user="nobody", cwd=Path("/")) as worker:
        await worker.server.wait_ready(10)
        assert worker.server._engine.run is not None
        assert worker.server._engine.run.launch is not None
        path = Path(worker.server._engine.run.launch.env["NOTIFY_SOCKET"])
        owner = pwd.getpwnam("nobody").pw_uid
        assert [owned(path), owned(path.parent)] == [(0o600, owner), (0o700, owner)]
        assert owned(path.parent.parent) == (0o711, 0)


@needs_bwrap
@pytest.mark.parametrize("first", [True, False])
async def test_a_server_in_a_sandbox_reaches_the_socket(
    directories: Directories, tmp_path: Path, first: bool
) -> None:
    """Its /tmp is its own, and its pids are other numbers there."""
    code = SPEAKER.replace(LISTENS, "say('READY=1')\n" + LISTENS)
    order = [PluginSpec("notify-ready", {}), PluginSpec("sandbox", {"readable": OF_PYTHON})]
    plugins = tuple(order if first else order[::-1])
    async with kept(directories, tmp_path, *python(code), plugins=plugins) as worker:
        await worker.server.wait_ready(10)
        assert worker.notices("notify_refused") == []


async def test_env_sanitizer_lets_the_socket_pass_wherever_it_stands(
    directories: Directories, tmp_path: Path
) -> None:
    for number, order in enumerate([("env-sanitizer",), ()]):
        folder = tmp_path / str(number)
        folder.mkdir()
        before = tuple(PluginSpec(name) for name in order)
        own = replace(directories, state=folder / "state")
        async with kept(own, folder, before=before, options={"watchdog": "60s"}) as worker:
            await worker.say("READY=1")
            await worker.server.wait_ready(10)
            assert worker.environment["WATCHDOG_USEC"] == "60000000"
            assert "WATCHDOG_PID" not in worker.environment


async def test_each_run_has_a_socket_of_its_own(directories: Directories, tmp_path: Path) -> None:
    async with kept(directories, tmp_path) as worker:
        await worker.say("READY=1")
        await worker.server.wait_ready(10)
        first = worker.socket
        files = open_files()
        await worker.server.restart()
        await worker.until(lambda: worker.socket != first)
        assert not first.exists()
        assert worker.server.state is State.WAITING_READY
        await worker.say("READY=1")
        await worker.server.wait_ready(10)
        await worker.until(lambda: open_files() == files)


# -- places ----------------------------------------------------------------------------------------


async def test_where_there_is_no_room_for_a_socket_the_start_fails_and_says_so(
    directories: Directories, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    long = tmp_path / ("x" * 100)
    long.mkdir()
    monkeypatch.setattr("hostler.launching.tempdir._SHORT", "/no-such-folder")
    monkeypatch.setattr("tempfile.tempdir", str(long))

    async with kept(directories, tmp_path) as worker:
        with pytest.raises(
            EnvironmentSetupFailed, match="notify-ready has no socket .*: AF_UNIX path too long"
        ):
            await worker.server.wait_ready(10)

    assert list(long.iterdir()) == []


@pytest.mark.parametrize("umask", [0o000, 0o777])
async def test_the_modes_hold_whatever_the_umask(
    directories: Directories, tmp_path: Path, umask: int
) -> None:
    os.mkfifo(tmp_path / "say")
    old = os.umask(umask)

    try:
        async with kept(directories, tmp_path) as worker:
            await worker.until(
                lambda: worker.server._engine.run is not None and worker.server.pid is not None
            )
            assert worker.server._engine.run is not None
            assert worker.server._engine.run.launch is not None
            path = Path(worker.server._engine.run.launch.env["NOTIFY_SOCKET"])
            assert [owned(path), owned(path.parent)] == [(0o600, os.geteuid()), (0o700, os.geteuid())]
    finally:
        os.umask(old)


async def test_a_user_that_does_not_exist_is_an_error_and_leaves_nothing(
    directories: Directories, tmp_path: Path
) -> None:
    async with kept(directories, tmp_path, user="no-such-user") as worker:
        with pytest.raises(EnvironmentSetupFailed):
            await worker.server.wait_ready(10)


def test_systemd_notify_is_of_use_in_this_environment() -> None:
    """So that the tests above are not skipped where it matters unnoticed."""
    if shutil.which("systemd-notify"):
        assert (
            subprocess.run(["systemd-notify", "--version"], check=False, capture_output=True).returncode == 0
        )


def test_whose_a_number_is_is_asked_again_after_a_moment(monkeypatch: pytest.MonkeyPatch) -> None:
    """It may be another's by then."""
    monkeypatch.setattr("hostler_plugins.notify_ready.senders._BELIEVED", -1.0)
    server = FakeServerContext("web")
    living: list[int] = [7]
    monkeypatch.setattr(server, "members", lambda: tuple(living), raising=False)
    senders, message = Senders(server), Datagram(b"READY=1", 7, (), whole=True)
    assert senders.admit(message)
    living.clear()
    assert not senders.admit(message)
