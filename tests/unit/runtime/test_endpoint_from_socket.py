"""A server that never says where it listens, and may be looked up all the same (port_from_socket = true)."""

from __future__ import annotations

import sys
from dataclasses import replace
from typing import Any

import pytest
from hostler import (
    Directories,
    EndpointFound,
    Event,
    IdentityCheck,
    ListensTooWide,
    PortParsingFailed,
    ServerError,
    ServerSpec,
    Supervisor,
)
from specs import QUICK, MakeSpec

NO_RETRY = replace(QUICK, start_retries=0)

# Listens at the addresses that are named, each at the port before or at another one.
LISTENS = """
import socket, sys, time
open_sockets, last = [], 0
for number, word in enumerate(sys.argv[1:]):
    host, _, wanted = word.partition("/")
    if host == "wait":
        time.sleep(float(wanted))
        continue
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    one = socket.socket(family)
    one.bind((host, last if wanted == "same" else 0))
    one.listen()
    last = one.getsockname()[1]
    open_sockets.append(one)
time.sleep(300)
"""


def silent(make_spec: MakeSpec, *addresses: str, **fields: object) -> ServerSpec:
    given: dict[str, Any] = {"port_from_socket": True, "startup_timeout": 1.5, "restart": NO_RETRY} | fields
    command = (sys.executable, "-I", "-S", "-c", LISTENS, *addresses)
    return make_spec(command=command, **given)


async def endpoint_of(spec: ServerSpec, directories: Directories) -> EndpointFound:
    """What is told of where it listens, once it is ready."""
    events: list[Event] = []
    async with Supervisor(spec, directories=directories) as supervisor:
        supervisor.listen(events.append)
        await supervisor["fake"].wait_ready(10)
        (found,) = [event for event in events if isinstance(event, EndpointFound)]
        assert supervisor["fake"].url == found.endpoint.url
        return found


async def failure_of(
    spec: ServerSpec, directories: Directories, wanted: type[ServerError] = PortParsingFailed
) -> ServerError:
    async with Supervisor(spec, directories=directories) as supervisor:
        with pytest.raises(wanted) as caught:
            await supervisor["fake"].wait_ready(10)
        return caught.value


async def test_the_one_socket_of_a_silent_server_is_taken_after_a_third_of_the_time(
    make_spec: MakeSpec, directories: Directories
) -> None:
    events: list[Event] = []
    async with Supervisor(silent(make_spec, "127.0.0.1"), directories=directories) as supervisor:
        supervisor.listen(events.append)
        await supervisor["fake"].wait_ready(10)
        assert 0.5 <= supervisor["fake"].uptime < 1.4
    (found,) = [event for event in events if isinstance(event, EndpointFound)]
    assert (found.endpoint.host, found.source) == ("127.0.0.1", "socket")


async def test_a_socket_that_comes_late_is_found(make_spec: MakeSpec, directories: Directories) -> None:
    found = await endpoint_of(silent(make_spec, "wait/0.9", "127.0.0.1"), directories)
    assert found.source == "socket"


async def test_one_port_for_both_families_is_one(make_spec: MakeSpec, directories: Directories) -> None:
    found = await endpoint_of(silent(make_spec, "::1", "127.0.0.1/same"), directories)
    assert (found.endpoint.host, found.source) == ("127.0.0.1", "socket")


async def test_an_announcement_goes_before_the_socket(make_spec: MakeSpec, directories: Directories) -> None:
    spec = make_spec("--announce-delay", "0.2", port_from_socket=True, startup_timeout=3.0)
    assert (await endpoint_of(spec, directories)).source == "announced"


async def test_of_two_ports_none_is_guessed(make_spec: MakeSpec, directories: Directories) -> None:
    error = await failure_of(silent(make_spec, "127.0.0.1", "127.0.0.1"), directories)
    assert "never told" in error.message
    assert "without announcing it" not in error.context.hint


async def test_a_server_that_does_not_listen_at_all_fails_in_its_time(
    make_spec: MakeSpec, directories: Directories
) -> None:
    error = await failure_of(silent(make_spec, startup_timeout=0.9), directories)
    assert "never told" in error.message


async def test_a_socket_that_is_wider_than_asked_is_refused(
    make_spec: MakeSpec, directories: Directories
) -> None:
    error = await failure_of(silent(make_spec, "0.0.0.0"), directories, ListensTooWide)
    assert "wider than 127.0.0.1" in error.message


async def test_without_the_key_it_is_offered_in_the_message(
    make_spec: MakeSpec, directories: Directories
) -> None:
    spec = silent(make_spec, "127.0.0.1", port_from_socket=False, startup_timeout=0.6)
    error = await failure_of(spec, directories)
    assert "without announcing it: set that port, or port_from_socket = true" in error.context.hint


async def test_a_required_identity_is_asked_for_too(make_spec: MakeSpec, directories: Directories) -> None:
    spec = silent(make_spec, "127.0.0.1", identity=IdentityCheck.REQUIRE)
    assert (await endpoint_of(spec, directories)).source == "socket"
