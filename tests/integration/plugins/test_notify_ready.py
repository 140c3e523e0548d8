"""notify-ready: what a server says of itself, as it would to systemd, and whose word counts."""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import stat
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import anyio
import pytest
from health_servers import open_files
from hostler import (
    Directories,
    EnvironmentSetupFailed,
    Event,
    HealthReported,
    Notice,
    PluginSpec,
    Progress,
    Server,
    ServerSpec,
    StartupTimeout,
    State,
    Supervisor,
)
from hostler.plugins.options import option_problems
from hostler.testing import FakeServerContext
from hostler_plugins.notify_ready.senders import Senders
from hostler_plugins.notify_ready.sockets import Datagram
from servers import OF_PYTHON
from specs import QUICK

# A worker that says what it is told to through a named pipe: parts of a message with | between them.
SPEAKER = """
import array, os, socket, sys
ours = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
def say(*lines, fds=()):
    rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else []
    ours.sendmsg(["\\n".join(lines).encode()], rights, 0, os.environ["NOTIFY_SOCKET"])
open("unfinished", "w").write("\\n".join(f"{k}={v}" for k, v in os.environ.items()))
os.replace("unfinished", "environment")
for line in os.fdopen(os.open("say", os.O_RDWR)):
    say(*line.rstrip("\\n").split("|"))
"""
LISTENS = "for line in os.fdopen"

BOXED = ["bwrap", "--ro-bind", "/", "/", "--unshare-pid", "--proc", "/proc", "/bin/true"]
needs_linux = pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells who sent a message")
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="becoming another user takes root")
systemd_notify = pytest.mark.skipif(
    shutil.which("systemd-notify") is None, reason="there is no systemd-notify"
)


@dataclass
class Kept:
    """A kept worker, and what was told of it."""

    server: Server
    folder: Path
    events: list[Event] = field(default_factory=list)

    async def say(self, *lines: str) -> None:
        """Have the worker say this."""
        await self.until(lambda: self._told("|".join(lines)))

    def _told(self, line: str) -> bool:
        """Whether there was somebody who listens."""
        try:
            pipe = os.open(self.folder / "say", os.O_WRONLY | os.O_NONBLOCK)
        except OSError:
            return False

        with os.fdopen(pipe, "w") as file:
            file.write(f"{line}\n")

        return True

    async def until(self, condition: Callable[[], bool]) -> None:
        with anyio.fail_after(10):
            while not condition():  # noqa: ASYNC110 - of many kinds of events, and of none
                await anyio.sleep(0.01)

    async def health(self, said: str) -> None:
        await self.until(lambda: self.server.health == said)

    def notices(self, topic: str) -> list[str]:
        return [event.text for event in self.events if isinstance(event, Notice) and event.topic == topic]

    @property
    def environment(self) -> dict[str, str]:
        lines = (self.folder / "environment").read_text().splitlines()
        return dict(line.split("=", 1) for line in lines)

    @property
    def socket(self) -> Path:
        return Path(self.environment["NOTIFY_SOCKET"])


def owned(path: Path) -> tuple[int, int]:
    found = path.stat()
    return stat.S_IMODE(found.st_mode), found.st_uid


def python(code: str) -> tuple[str, ...]:
    return (sys.executable, "-I", "-S", "-c", code)


@asynccontextmanager
async def kept(
    directories: Directories,
    folder: Path,
    *command: str,
    options: Any = None,
    before: tuple[PluginSpec, ...] = (),
    **fields: Any,
) -> AsyncIterator[Kept]:
    """A worker that is kept with notify-ready; the speaker where no command is given."""
    if not (folder / "say").exists():
        os.mkfifo(folder / "say")

    given: dict[str, Any] = {
        "port": None,
        "restart": replace(QUICK, start_retries=0),
        "cwd": folder,
        "plugins": (*before, PluginSpec("notify-ready", options or {})),
    } | fields
    spec = ServerSpec(name="worker", command=command or python(SPEAKER), **given)

    async with Supervisor(spec, directories=directories) as supervisor:
        kept = Kept(supervisor["worker"], folder)
        supervisor.listen(kept.events.append)
        yield kept


@pytest.fixture(autouse=True)
def no_folder_is_left() -> Any:
    before = set(Path("/tmp").glob("hostler-*"))
    yield
    assert {one for one in set(Path("/tmp").glob("hostler-*")) - before if "notify" in one.name} == set()


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
        assert worker.server.run is not None
        assert worker.server.run.launch is not None
        path = Path(worker.server.run.launch.env["NOTIFY_SOCKET"])
        owner = pwd.getpwnam("nobody").pw_uid
        assert [owned(path), owned(path.parent)] == [(0o600, owner), (0o700, owner)]
        assert owned(path.parent.parent) == (0o711, 0)


@pytest.mark.skipif(
    shutil.which("bwrap") is None or subprocess.run(BOXED, capture_output=True, check=False).returncode != 0,
    reason="bubblewrap is not installed, or the kernel refuses it here",
)
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
        assert open_files() == files


# -- what else it says -----------------------------------------------------------------------------


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
        "it asks for FDSTORE: file descriptors are not kept for it",
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


# -- watchdog --------------------------------------------------------------------------------------


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


# -- whose word counts -----------------------------------------------------------------------------


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
    why = f"pid {os.getpid()} is no living process of this server"
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
            await worker.until(lambda: worker.server.run is not None and worker.server.pid is not None)
            assert worker.server.run is not None
            assert worker.server.run.launch is not None
            path = Path(worker.server.run.launch.env["NOTIFY_SOCKET"])
            assert [owned(path), owned(path.parent)] == [(0o600, os.geteuid()), (0o700, os.geteuid())]
    finally:
        os.umask(old)


async def test_a_user_that_does_not_exist_is_an_error_and_leaves_nothing(
    directories: Directories, tmp_path: Path
) -> None:
    async with kept(directories, tmp_path, user="no-such-user") as worker:
        with pytest.raises(EnvironmentSetupFailed):
            await worker.server.wait_ready(10)


@pytest.mark.parametrize(
    ("options", "key"), [({"watchdog": "0s"}, "watchdog"), ({"failures": 0}, "failures")]
)
def test_a_mistake_in_an_option_is_told_with_its_name(options: dict[str, object], key: str) -> None:
    (problem,) = option_problems(PluginSpec("notify-ready", options))
    assert problem.key == key


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
