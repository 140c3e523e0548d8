"""Ports that are taken, announced in odd ways, or never."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import anyio
import pytest
from cli_project import Project
from fault_setup import ONCE, configure, failure_of, supervising
from hostler import (
    Auth,
    Event,
    HealthReported,
    Launch,
    ListensTooWide,
    PortInUse,
    PortParsingFailed,
    Spawned,
    StartupTimeout,
    State,
    StateChanged,
    hookimpl,
)

pytestmark = pytest.mark.usefixtures("nothing_is_left")
NOBODY, STRANGER = "NOBODY", "STRANGER"

HOLDER = """
import socket, sys
one = socket.create_server(("127.0.0.1", int(sys.argv[1])))
print(one.getsockname()[1], flush=True)
sys.stdin.read()
"""


@dataclass
class Stranger:
    """Another process, which listens at a port."""

    process: subprocess.Popen[str]
    port: int

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def name(self) -> str:
        return Path(f"/proc/{self.pid}/comm").read_text().strip()


@pytest.fixture
def stranger() -> Iterator[Stranger]:
    argv = [sys.executable, "-I", "-S", "-c", HOLDER, "0"]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield Stranger(process, int(process.stdout.readline()))
        process.communicate()


@pytest.mark.requirement("R15")
async def test_a_port_that_is_taken_before_the_start_is_told_with_pid_and_name(
    world: Project, stranger: Stranger
) -> None:
    events: list[Event] = []
    error = await failure_of(world, configure(world, port=stranger.port), PortInUse, events)
    assert error.message == (
        f"port {stranger.port} on 127.0.0.1 is in use by {stranger.name} (pid {stranger.pid})"
    )
    assert "0: a free one" in error.context.hint
    assert (error.context.details["pid"], error.context.details["name"]) == (stranger.pid, stranger.name)
    assert [event for event in events if isinstance(event, Spawned)] == []


async def test_a_port_that_becomes_free_before_the_second_try_is_used(
    world: Project, stranger: Stranger
) -> None:
    events: list[Event] = []
    file = configure(world, port=stranger.port, restart={"initial_delay": "300ms"})

    with anyio.fail_after(20):
        async with world.supervisor(file, events) as supervisor:
            server = supervisor["fake"]
            await server.until(lambda: server.state is State.BACKOFF)
            stranger.process.communicate()
            await server.wait_ready()
            assert server.url == stranger.url

    (crash,) = (e for e in events if isinstance(e, StateChanged) and e.state is State.CRASHED)
    assert f"pid {stranger.pid}" in crash.reason


@pytest.fixture
def nobody() -> Iterator[str]:
    """The URL of a port at which nobody listens, as long as the test lasts."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{held.getsockname()[1]}"


@dataclass(eq=False)
class Snatch:
    """Takes the port that was chosen, after the choice and before the spawn, as often as it is told."""

    times: int
    _open: ExitStack = field(default_factory=ExitStack)
    ports: list[int] = field(default_factory=list)

    @hookimpl
    async def pre_spawn(self, launch: Launch) -> None:
        if len(self.ports) < self.times:
            assert launch.port is not None
            self._open.enter_context(socket.create_server((launch.host, launch.port)))
            self.ports.append(launch.port)

    def close(self) -> None:
        self._open.close()


@pytest.fixture
def snatch() -> Iterator[Snatch]:
    one = Snatch(times=1)
    yield one
    one.close()


async def test_a_port_that_is_taken_between_choice_and_spawn_is_replaced_by_another(
    world: Project, snatch: Snatch
) -> None:
    events: list[Event] = []

    with anyio.fail_after(20):
        async with supervising(world, configure(world), events, snatch=snatch) as supervisor:
            server = supervisor["fake"]
            await server.wait_ready()
            assert (server.generation, server.restarts) == (2, 1)
            assert server.endpoint is not None
            assert server.endpoint.port not in snatch.ports

    (crash,) = (e for e in events if isinstance(e, StateChanged) and e.state is State.CRASHED)
    assert "exit code 1" in crash.reason


async def test_ports_that_are_snatched_again_and_again_are_told_as_in_use(
    world: Project, snatch: Snatch
) -> None:
    snatch.times = 9
    error = await failure_of(world, configure(world), PortInUse, snatch=snatch)
    assert len(set(snatch.ports)) == 2
    assert f"port {snatch.ports[-1]} is in use" in error.message
    assert "Is port" in error.context.stderr


async def test_a_chosen_port_that_is_snatched_is_told_with_its_owner_at_the_second_try(
    world: Project, snatch: Snatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as one:
        port = one.getsockname()[1]
    error = await failure_of(world, configure(world, port=port), PortInUse, snatch=snatch)
    assert f"port {port} on 127.0.0.1 is in use by" in error.message
    assert snatch.ports == [port]


@pytest.mark.requirement("R16")
@pytest.mark.parametrize(
    ("switches", "within"),
    [
        (("--announce-delay", "0.7"), "30s"),
        (("--announce-split", "--announce-color"), "30s"),
        (("--announce", "listening on {url}\nlistening on {url}"), "30s"),
        (("--decoy", f"listening on {NOBODY}"), "30s"),
        (("--announce", f"listening on {{url}}\nlistening on {NOBODY}"), "4500ms"),
        (("--announce", f"listening on {{url}}\nlistening on {STRANGER}"), "30s"),
    ],
    ids=["late", "split", "twice", "wrong first", "wrong last", "a stranger's last"],
)
async def test_a_port_is_found_however_it_is_announced(
    switches: tuple[str, ...], within: str, world: Project, nobody: str, stranger: Stranger
) -> None:
    given = (word.replace(NOBODY, nobody).replace(STRANGER, stranger.url) for word in switches)
    file = configure(world, *given, startup_timeout=within)
    with anyio.fail_after(20):
        async with supervising(world, file) as supervisor:
            server = supervisor["fake"]
            await server.wait_ready()
            assert server.generation == 1
            assert server.url not in {nobody, stranger.url}


async def test_a_wrong_announcement_is_told_with_what_the_server_really_does(
    world: Project, nobody: str
) -> None:
    elsewhere = ("--port", "0", "--announce", f"listening on {nobody}")
    file = configure(world, *elsewhere, startup_timeout="1s", restart=ONCE)
    error = await failure_of(world, file, StartupTimeout)
    assert error.message == f"nothing of this server listens at {nobody} (found by regex-port)"
    assert "it listens at 127.0.0.1:" in error.context.hint
    assert "startup_timeout" not in error.context.hint
    assert nobody in error.context.stdout


async def test_an_announced_port_of_a_stranger_is_told_with_pid_and_name(
    world: Project, stranger: Stranger
) -> None:
    elsewhere = ("--port", "0", "--announce", f"listening on {stranger.url}")
    error = await failure_of(world, configure(world, *elsewhere, restart=ONCE), PortInUse)
    assert f"pid {stranger.pid} ({stranger.name})" in error.message
    assert "port = 0" in error.context.hint


@pytest.mark.parametrize(("bound", "asked"), [("0.0.0.0", "127.0.0.1"), ("::", "::1"), ("::", "127.0.0.1")])
async def test_a_server_that_listens_wider_than_asked_is_stopped_unless_that_is_allowed(
    bound: str, asked: str, world: Project
) -> None:
    switches = ("--announce", "listening on port {port}", "--host", bound)
    error = await failure_of(world, configure(world, *switches, host=asked), ListensTooWide)
    assert f"the server listens on {bound}, which is wider than {asked}" in error.message
    assert "expose = true" in error.context.hint
    with anyio.fail_after(20):
        async with supervising(world, configure(world, *switches, host=asked, expose=True)) as supervisor:
            await supervisor["fake"].wait_ready()


@pytest.mark.parametrize("announced", ["{url}", "http://{host}:{port}", "[{host}]:{port}"])
async def test_a_server_on_ipv6_is_kept_however_it_writes_its_address(announced: str, world: Project) -> None:
    file = configure(world, "--announce", f"listening on {announced}", host="::1")
    with anyio.fail_after(20):
        async with supervising(world, file) as supervisor:
            server = supervisor["fake"]
            await server.wait_ready()
            assert server.url is not None
            assert server.url.startswith("http://[::1]:")


async def test_a_port_that_is_never_announced_is_offered_where_there_is_only_one(world: Project) -> None:
    switches = ("--port", "0", "--no-announce", "--print", "up and well")
    file = configure(world, *switches, startup_timeout="1s", restart=ONCE)
    error = await failure_of(world, file, PortParsingFailed)
    assert "it listens at 127.0.0.1:" in error.context.hint
    assert "port_from_socket = true" in error.context.hint
    assert "up and well" in str(error)


async def test_a_port_that_is_never_announced_is_used_where_that_is_wanted(world: Project) -> None:
    file = configure(world, "--port", "0", "--no-announce", startup_timeout="3s", port_from_socket=True)
    with anyio.fail_after(20):
        async with supervising(world, file) as supervisor:
            await supervisor["fake"].wait_ready()


LETS_GO = """
import os, socket, sys, threading, time
one = socket.create_server(("127.0.0.1", int(sys.argv[1])))
print(f"listening on http://127.0.0.1:{one.getsockname()[1]}", flush=True)
connection, _ = one.accept()
connection.recv(65536)
connection.sendall(b"HTTP/1.1 200 OK\\r\\nContent-Type: text/event-stream\\r\\n\\r\\ndata: hello\\n\\n")
while not os.path.exists(sys.argv[2]):
    time.sleep(0.01)
one.close()
while os.path.exists(sys.argv[2]):
    time.sleep(0.01)
connection.close()
time.sleep(600)
"""


@dataclass(eq=False)
class Guarded:
    """Gives the server a password, as a launcher does."""

    @hookimpl
    async def pre_spawn(self, launch: Launch) -> None:
        launch.facts["auth"] = Auth("user", "planted-password-of-a-test")


async def test_a_stranger_who_takes_the_port_of_a_living_server_never_gets_its_password(
    world: Project, tmp_path: Path
) -> None:
    sign = tmp_path / "let-go"
    command = [sys.executable, "-c", LETS_GO, "${server.port}", str(sign)]
    plugins = {"regex-port": {}, "sse-health": {"reconnect": "20ms"}}
    file = world.configure(web={"command": command, "plugins": plugins, "restart": ONCE})
    async with supervising(world, file, guarded=Guarded()) as supervisor:
        server = supervisor["web"]
        await server.wait_ready(20)
        assert server.endpoint is not None
        sign.touch()
        with anyio.fail_after(20):
            while (stranger := taken(server.endpoint.port)) is None:  # noqa: ASYNC110 - when the server lets go
                await anyio.sleep(0.01)
        with stranger:
            news = server.events()
            sign.unlink()
            told = f"another process listens there instead: pid {os.getpid()}"
            with anyio.fail_after(20):
                await anext(
                    one async for one in news if isinstance(one, HealthReported) and told in one.reason
                )
            stranger.setblocking(False)
            with pytest.raises(BlockingIOError):
                stranger.accept()


def taken(port: int) -> socket.socket | None:
    try:
        return socket.create_server(("127.0.0.1", port))
    except OSError:
        return None
