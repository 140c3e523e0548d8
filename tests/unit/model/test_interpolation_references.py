"""`${servers.NAME.port}` in a server that needs another: filled in at each start, when that one is ready."""

from __future__ import annotations

import sys
from dataclasses import replace

import pytest
from hostler import Directories, Endpoint, PluginSpec, ServerSpec, Spawned, State, Supervisor
from hostler.errors import EnvironmentSetupFailed, InvalidConfiguration
from hostler.model.graph import with_implied_needs
from hostler.model.interpolation import Reference, references_in
from specs import MakeSpec


def worker(name: str = "worker", **fields: object) -> ServerSpec:
    """A server without a port that waits to be stopped."""
    command = (sys.executable, "-c", "import time; time.sleep(60)", "${servers.fake.port}")
    return ServerSpec(**({"name": name, "command": command, "port": None} | fields))  # type: ignore[arg-type]


def test_a_reference_is_read_and_what_is_none_is_none() -> None:
    assert Reference.parse("servers.my-db.port") == Reference("my-db", "port")
    assert [Reference.parse(text) for text in ("server.port", "servers.port", "servers.a.b.port", "A")] == [
        None
    ] * 4
    assert references_in("${servers.a.url:-x}$${servers.b.url}${") == []
    assert references_in("${servers.a-.url:-x}$${servers.b.url}") == [Reference("a-", "url")]


def test_a_wildcard_is_referred_to_as_what_can_be_reached() -> None:
    endpoints = {"a": Endpoint("0.0.0.0", 80), "b": Endpoint("::", 81)}

    assert [Reference("a", part).value(endpoints) for part in ("host", "port", "url")] == [
        "127.0.0.1",
        "80",
        "http://127.0.0.1:80",
    ]
    assert Reference("b", "host").value(endpoints) == "::1"
    assert Reference("c", "host").value(endpoints) is None


def test_a_spec_made_in_python_needs_what_it_refers_to() -> None:
    spec = worker(
        needs=("a",),
        env={"A": "${servers.a.url}"},
        plugins=(PluginSpec("p", {"x": ["${servers.c.port}"], "n": 1}),),
    )

    assert [need.server for need in with_implied_needs(spec).needed] == ["a", "fake", "c"]
    assert with_implied_needs(worker(command=("true",))).needs == ()


async def test_the_address_of_the_needed_server_is_filled_in_and_a_new_one_at_the_next_start(
    make_spec: MakeSpec, directories: Directories
) -> None:
    target = worker(env={"URL": "${servers.fake.url}", "WHERE": "$${servers.fake.host} ${servers.fake.host}"})
    fake = make_spec()
    spawned: list[Spawned] = []

    async with Supervisor([target, fake], directories=directories) as supervisor:
        supervisor.listen(lambda event: spawned.append(event) if isinstance(event, Spawned) else None)
        await supervisor.wait_ready("worker", timeout=20)
        first = supervisor["fake"].endpoint
        await supervisor["fake"].stop()
        assert first is not None
        await supervisor.reload([target, replace(fake, port=first.port + 1)])
        await supervisor["worker"].stop()
        await supervisor["worker"].start()
        second = supervisor["fake"].endpoint

    assert second is not None
    assert first.port != second.port
    told = [event for event in spawned if event.server == "worker"]
    assert [event.argv[-1] for event in told] == [str(first.port), str(second.port)]
    assert [event.env["URL"] for event in told] == [first.url, second.url]
    assert told[0].env["WHERE"] == "${servers.fake.host} 127.0.0.1"


async def test_a_reference_to_a_server_without_an_address_is_told_at_the_start(
    directories: Directories,
) -> None:
    async with Supervisor(
        [worker(), worker("fake", command=("sleep", "60"))], directories=directories
    ) as supervisor:
        with pytest.raises(EnvironmentSetupFailed) as caught:
            await supervisor["worker"].start()
        assert supervisor["worker"].state is State.FAILED
    assert caught.value.message == "${servers.fake.port} is not known: fake has no address"
    assert caught.value.context.server == "worker"


def test_a_reference_to_nobody_is_refused_before_anything_starts(directories: Directories) -> None:
    with pytest.raises(InvalidConfiguration, match='there is no server "fake"'):
        Supervisor([worker()], directories=directories)
