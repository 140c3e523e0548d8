"""Whose socket is at the announced address, as far as it depends on what is asked for and on luck."""

from __future__ import annotations

import errno
import socket
from collections.abc import Callable, Collection
from typing import cast

import anyio
import pytest
from hostler import (
    Directories,
    Endpoint,
    IdentityCheck,
    ListensTooWide,
    PortInUse,
    ServerSpec,
    StartupTimeout,
    Supervisor,
)
from hostler.process.net.ownership import Listener, ListenerKind
from hostler.process.spawn.exits import Process
from hostler.process.system import Processes
from hostler.runtime.endpoint_discovery import EndpointDiscovery
from hostler.runtime.listener_identity import find_stranger
from hostler.testing import VirtualLoop
from specs import QUICK, MakeSpec

PLACE = Endpoint("127.0.0.1", 4096)
# Who listens is told by fakes: time may jump, and no pause of the machine counts.
in_virtual_time = pytest.mark.parametrize(
    "anyio_backend", [pytest.param(("asyncio", {"loop_factory": VirtualLoop}), id="virtual")]
)


class Told(Processes):
    """Answers as it is told: another user's sockets and a lack of descriptors cannot be had at will."""

    def __init__(self, *answers: Listener | OSError) -> None:
        self.answers = list(answers)

    def who_listens(self, endpoint: Endpoint, members: Callable[[], Collection[int]]) -> Listener:
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, OSError):
            raise answer
        return answer


class Leader:
    """A process of which only the number counts."""

    pid = 1


def search(identity: IdentityCheck, *answers: Listener | OSError) -> EndpointDiscovery:
    spec = ServerSpec(name="web", identity=identity)
    return EndpointDiscovery(spec, cast("Process", Leader()), Told(*answers))


UNKNOWN, NOBODY = Listener(ListenerKind.UNKNOWN), Listener(ListenerKind.NOBODY)
OWN, STRANGER = Listener(ListenerKind.OWN, 1), Listener(ListenerKind.FOREIGN, 2, "proxy")


class ByPort(Processes):
    """Who listens at which port; nobody anywhere else."""

    def __init__(self, **listeners: Listener) -> None:
        self.listeners = {int(port.removeprefix("at_")): found for port, found in listeners.items()}

    def who_listens(self, endpoint: Endpoint, members: Callable[[], Collection[int]]) -> Listener:
        return self.listeners.get(endpoint.port, NOBODY)


def search_at(**listeners: Listener) -> EndpointDiscovery:
    return EndpointDiscovery(ServerSpec(name="web"), cast("Process", Leader()), ByPort(**listeners))


@pytest.mark.parametrize(("identity", "doubted"), [(IdentityCheck.CHECK, True), (IdentityCheck.OFF, False)])
async def test_a_listener_that_cannot_be_told_is_taken_with_a_doubt_or_without(
    identity: IdentityCheck, doubted: bool
) -> None:
    looking = search(identity, UNKNOWN)
    looking.offer(PLACE, "a plugin")
    with anyio.fail_after(5):
        confirmed = await looking.run()
    assert ("cannot tell" in confirmed.doubt) is doubted


async def test_a_listener_that_cannot_be_told_is_no_answer_where_identity_is_required() -> None:
    looking = search(IdentityCheck.REQUIRE, UNKNOWN)
    looking.offer(PLACE, "a plugin")

    with anyio.move_on_after(0.2) as scope:
        await looking.run()

    assert scope.cancelled_caught
    failure = looking.failure()
    assert isinstance(failure, StartupTimeout)
    assert "cannot tell which process listens" in failure.message
    assert "require" in failure.context.hint


async def test_a_look_that_fails_is_repeated() -> None:
    lack = OSError(errno.EMFILE, "too many open files")
    looking = search(IdentityCheck.CHECK, lack, lack, Listener(ListenerKind.OWN, 1, bound_host="127.0.0.1"))
    looking.offer(PLACE, "a plugin")
    with anyio.fail_after(5):
        assert (await looking.run()).endpoint == PLACE


async def test_a_stranger_is_taken_where_identity_is_off(
    make_spec: MakeSpec, directories: Directories
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as stranger:
        url = f"http://127.0.0.1:{stranger.getsockname()[1]}"
        spec = make_spec(
            "--port", "0", "--announce", f"listening on {url}", identity=IdentityCheck.OFF, restart=QUICK
        )
        async with Supervisor(spec, directories=directories) as supervisor:
            await supervisor["fake"].wait_ready(10)
            assert supervisor["fake"].url == url


@in_virtual_time
async def test_every_announcement_of_a_stranger_s_address_has_its_time() -> None:
    looking = search(IdentityCheck.CHECK, Listener(ListenerKind.FOREIGN, 2, "proxy"))
    looking.offer(PLACE, "a plugin")

    async with anyio.create_task_group() as tasks:

        async def replace_it() -> None:
            await anyio.sleep(1.5)
            looking.offer(Endpoint("127.0.0.1", 4097), "a plugin")

        tasks.start_soon(replace_it)
        began = anyio.current_time()
        with pytest.raises(PortInUse, match="4097"):
            await looking.run()

    assert anyio.current_time() - began > 3


@in_virtual_time
async def test_a_stranger_that_has_gone_is_forgotten() -> None:
    looking = search_at(at_4096=STRANGER)
    looking.offer(PLACE, "a plugin")

    async def goes_and_another_comes() -> None:
        await anyio.sleep(0.1)
        looking.processes.listeners[4096] = NOBODY  # type: ignore[attr-defined]
        await anyio.sleep(4)
        looking.processes.listeners[4096] = STRANGER  # type: ignore[attr-defined]
        await anyio.sleep(1.5)
        looking.processes.listeners[4096] = Listener(ListenerKind.OWN, 1)  # type: ignore[attr-defined]

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(goes_and_another_comes)
        assert (await looking.run()).endpoint == PLACE


@in_virtual_time
async def test_an_address_that_was_announced_before_is_held_to_the_same_reach() -> None:
    looking = search_at(at_4096=Listener(ListenerKind.OWN, 1, bound_host="0.0.0.0"), at_4097=STRANGER)
    looking.offer(PLACE, "a plugin")
    looking.offer(Endpoint("127.0.0.1", 4097), "a plugin")
    with pytest.raises(ListensTooWide, match="wider than"):
        await looking.run()


async def test_of_many_announcements_only_the_latest_are_kept() -> None:
    looking = search_at()
    for port in range(4000, 5000):
        looking.offer(Endpoint("127.0.0.1", port), "a plugin")
    assert [place.port for place in looking._earlier] == list(range(4991, 4999))


ELSEWHERE = Endpoint("127.0.0.1", 4097)


@in_virtual_time
async def test_a_port_that_was_handed_over_and_is_given_up_again_keeps_no_other_waiting() -> None:
    looking = search_at(at_4096=OWN, at_4097=OWN)
    looking.handed_over, looking.insisted = PLACE, True

    async def serves_elsewhere() -> None:
        await anyio.sleep(0.05)
        looking.processes.listeners[4096] = NOBODY  # type: ignore[attr-defined]
        looking.offer(ELSEWHERE, "a plugin")

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(serves_elsewhere)
        with anyio.fail_after(10):
            assert (await looking.run()).endpoint == ELSEWHERE


@in_virtual_time
async def test_a_port_of_which_the_command_was_not_told_is_not_waited_for() -> None:
    looking = search_at(at_4097=OWN)
    looking.handed_over = PLACE
    looking.offer(ELSEWHERE, "a plugin")
    with anyio.fail_after(1):
        assert (await looking.run()).endpoint == ELSEWHERE


class ByHost(Processes):
    """Who listens at which address; nobody anywhere else."""

    def __init__(self, listeners: dict[str, Listener]) -> None:
        self.listeners = listeners

    def who_listens(self, endpoint: Endpoint, members: Callable[[], Collection[int]]) -> Listener:
        return self.listeners.get(endpoint.host, NOBODY)


def search_on(**listeners: Listener) -> EndpointDiscovery:
    places = {"far": "192.0.2.7", "other": "::1"}
    found = {places[name]: listener for name, listener in listeners.items()}
    return EndpointDiscovery(ServerSpec(name="web"), cast("Process", Leader()), ByHost(found))


@in_virtual_time
@pytest.mark.parametrize(("pid", "taken"), [(7, True), (None, False)])
async def test_an_address_off_the_machine_is_taken_only_with_a_process_of_this_machine(
    pid: int | None, taken: bool
) -> None:
    looking = search_on(far=Listener(ListenerKind.UNKNOWN, pid))
    looking.offer(Endpoint("192.0.2.7", 4096), "a plugin")
    with anyio.move_on_after(60) as scope:
        await looking.run()
    assert scope.cancelled_caught is not taken


@in_virtual_time
async def test_a_stranger_at_any_of_the_addresses_of_localhost_is_told() -> None:
    looking = search_on(other=STRANGER)
    looking.offer(Endpoint("localhost", 4096), "a plugin")
    with pytest.raises(PortInUse, match="proxy"):
        await looking.run()


@pytest.mark.parametrize(
    ("check", "listener", "told"),
    [
        (IdentityCheck.CHECK, STRANGER, "pid 2 (proxy)"),
        (IdentityCheck.OFF, STRANGER, ""),
        (IdentityCheck.CHECK, UNKNOWN, ""),
        (IdentityCheck.REQUIRE, UNKNOWN, UNKNOWN.who),
        (IdentityCheck.REQUIRE, OWN, ""),
        (IdentityCheck.REQUIRE, NOBODY, ""),
    ],
)
def test_who_listens_in_its_place_is_told_as_far_as_it_matters(
    check: IdentityCheck, listener: Listener, told: str
) -> None:
    assert find_stranger(PLACE, cast("Process", Leader()), ByPort(at_4096=listener), check) == told
