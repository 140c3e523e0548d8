"""Hooks are called one plugin after the other, and none of them can spoil another or the engine."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest
from hosted_plugins import RecordingPlugin, host_plugins, plugin_with, raise_error
from hostler import (
    Endpoint,
    EnvironmentSetupFailed,
    Exit,
    ExitCause,
    Healthy,
    Launch,
    PortInUse,
    Report,
    hookimpl,
)
from hostler.plugins.hook_stats import Failure
from hostler.testing import FakeServerContext
from launches import a_launch

EXIT = Exit(ExitCause.EXITED, 1, code=1)
SERVER = FakeServerContext("web")


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


class First(RecordingPlugin):
    @hookimpl(tryfirst=True)
    async def on_ready(self) -> None:
        self.calls.append(self.name)


class Last(RecordingPlugin):
    @hookimpl(trylast=True)
    async def on_ready(self) -> None:
        self.calls.append(self.name)


# -- order and arguments ----------------------------------------------------------------------


async def test_the_order_of_the_configuration_is_the_order_of_the_calls() -> None:
    calls: list[str] = []
    hosted = host_plugins(
        a=RecordingPlugin("a", calls), b=RecordingPlugin("b", calls), c=RecordingPlugin("c", calls)
    )
    await hosted.plugins.on_ready(SERVER, None)
    assert calls == ["a", "b", "c"]
    assert tuple(hosted.plugins.plugins) == ("a", "b", "c")


async def test_tryfirst_and_trylast_go_before_and_after_and_keep_the_order_among_themselves() -> None:
    calls: list[str] = []
    hosted = host_plugins(
        y=Last("y", calls),
        z=Last("z", calls),
        m=RecordingPlugin("m", calls),
        a=First("a", calls),
        b=First("b", calls),
    )
    await hosted.plugins.on_ready(SERVER, None)
    assert calls == ["a", "b", "m", "y", "z"]


async def test_a_hook_gets_the_arguments_that_it_names() -> None:
    got: list[object] = []

    class Some:
        @hookimpl
        async def on_ready(self, *, endpoint: Endpoint | None = None, own: int = 7) -> None:
            got.append((endpoint, own))

        @hookimpl
        async def on_shutdown(self, reason: str, server: FakeServerContext) -> None:
            got.append((reason, server))

        @hookimpl
        async def on_crash(self, exit: Exit) -> None:
            got.append(exit)

    plugins = host_plugins(some=Some()).plugins
    endpoint = Endpoint("127.0.0.1", 80)
    await plugins.on_ready(SERVER, endpoint)
    await plugins.on_shutdown(SERVER, "stop asked")
    await plugins.on_crash(SERVER, EXIT)
    assert got == [(endpoint, 7), ("stop asked", SERVER), EXIT]


def test_a_set_knows_its_plugins_and_their_hooks() -> None:
    plugin = RecordingPlugin("a", [])
    plugins = host_plugins(a=plugin).plugins
    assert plugins.has("on_ready")
    assert not plugins.has("parse_port")
    assert plugins.plugins["a"] is plugin
    with pytest.raises(KeyError):
        plugins.plugins["b"]


# -- pre_spawn --------------------------------------------------------------------------------


async def test_pre_spawn_edits_the_launch_one_plugin_after_the_other(tmp_path: Path) -> None:
    class Adding:
        def __init__(self, word: str) -> None:
            self.word = word

        @hookimpl
        async def pre_spawn(self, launch: Launch) -> None:
            await asyncio.sleep(0.01)
            launch.argv.append(self.word)

    launch = a_launch(tmp_path, argv=[])
    await host_plugins(a=Adding("one"), b=Adding("two")).plugins.pre_spawn(SERVER, launch, deadline=5)
    assert launch.argv == ["one", "two"]


async def test_a_server_error_in_pre_spawn_passes_as_it_is_and_stops_the_rest(tmp_path: Path) -> None:
    error = PortInUse("taken")
    calls: list[str] = []

    async def note() -> None:
        calls.append("second")

    hosted = host_plugins(
        a=plugin_with("pre_spawn", lambda: raise_error(error)), b=plugin_with("pre_spawn", note)
    )

    with pytest.raises(PortInUse) as caught:
        await hosted.plugins.pre_spawn(SERVER, a_launch(tmp_path), deadline=5)

    assert caught.value is error
    assert caught.value.context.server == "web"
    assert calls == []
    assert hosted.failures == []


@pytest.mark.parametrize(
    "error", [ValueError("x"), SystemExit(3), KeyboardInterrupt(), GeneratorExit(), asyncio.CancelledError()]
)
async def test_any_other_failure_in_pre_spawn_fails_the_start_and_is_named(
    error: BaseException, tmp_path: Path
) -> None:
    hosted = host_plugins(a=plugin_with("pre_spawn", lambda: raise_error(error)))

    with pytest.raises(EnvironmentSetupFailed) as caught:
        await hosted.plugins.pre_spawn(SERVER, a_launch(tmp_path), deadline=5)

    assert f'web: plugin "a" failed in pre_spawn: it raised {error!r}' in str(caught.value)
    assert caught.value.__cause__ is error
    assert not caught.value.permanent
    assert [(failure.plugin, failure.hook, failure.disabled) for failure in hosted.failures] == [
        ("a", "pre_spawn", False)
    ]


async def test_all_pre_spawns_share_one_deadline(tmp_path: Path) -> None:
    hosted = host_plugins(
        a=plugin_with("pre_spawn", lambda: asyncio.sleep(0.15)),
        b=plugin_with("pre_spawn", lambda: asyncio.sleep(30)),
    )

    with pytest.raises(EnvironmentSetupFailed, match=r'plugin "b".*took longer than') as caught:
        await hosted.plugins.pre_spawn(SERVER, a_launch(tmp_path), deadline=0.3)

    (told,) = re.findall(r"took longer than ([\d.e-]+) s", str(caught.value))
    assert float(told) <= 0.15, "what the first one has left of it"
    assert "prepare_timeout (0.3 s)" in str(caught.value)
    assert hosted.plugins.stats["a", "pre_spawn"].failures == 0


async def test_a_pre_spawn_that_fails_again_and_again_is_never_taken_out(tmp_path: Path) -> None:
    hosted = host_plugins(a=plugin_with("pre_spawn", lambda: raise_error(ValueError())))
    for _ in range(5):
        with pytest.raises(EnvironmentSetupFailed):
            await hosted.plugins.pre_spawn(SERVER, a_launch(tmp_path), deadline=5)
    assert hosted.plugins.stats["a", "pre_spawn"].in_a_row == 5
    assert not hosted.plugins.stats["a", "pre_spawn"].disabled


async def test_no_time_left_is_a_timeout_too(tmp_path: Path) -> None:
    hosted = host_plugins(a=plugin_with("pre_spawn", lambda: asyncio.sleep(30)))
    with pytest.raises(EnvironmentSetupFailed, match="took longer than 0 s"):
        await hosted.plugins.pre_spawn(SERVER, a_launch(tmp_path), deadline=-1)


# -- health_check -----------------------------------------------------------------------------


async def test_health_checks_are_fresh_streams_whose_code_has_not_run() -> None:
    ran: list[object] = []

    class Watching:
        @hookimpl
        async def health_check(self, endpoint: Endpoint | None) -> AsyncGenerator[Report, None]:
            ran.append(endpoint)
            yield Healthy()

    plugins = host_plugins(a=Watching(), b=Watching()).plugins
    openers = plugins.health_openers(SERVER, None)
    assert list(openers) == ["a", "b"]
    stream = openers["a"]()
    assert ran == []
    assert [report async for report in stream] == [Healthy()]
    again = plugins.health_openers(SERVER, Endpoint("h", 1))["a"]()
    assert [report async for report in again] == [Healthy()]
    assert ran == [None, Endpoint("h", 1)]
    assert plugins.stats["a", "health_check"].calls == 2


def test_a_failed_health_check_is_counted_and_never_taken_out() -> None:
    class Watching:
        @hookimpl
        async def health_check(self) -> AsyncGenerator[Report, None]:
            yield Healthy()

    hosted = host_plugins(a=Watching())

    for _ in range(4):
        hosted.plugins.health_openers(SERVER, None)
        hosted.plugins.health_failed("a", "raised ValueError()", 1.5)

    assert hosted.failures[-1] == Failure("a", "health_check", "raised ValueError()", 1.5)
    assert hosted.plugins.stats["a", "health_check"].failures == 4
    assert len(hosted.plugins.health_openers(SERVER, None)) == 1


# -- stats and independence -------------------------------------------------------------------


async def test_every_call_is_counted_and_timed() -> None:
    hosted = host_plugins(a=plugin_with("on_ready", lambda: asyncio.sleep(0.05)))
    await hosted.plugins.on_ready(SERVER, None)
    await hosted.plugins.on_ready(SERVER, None)
    stats = hosted.plugins.stats["a", "on_ready"]
    assert stats.calls == 2
    assert 0.1 <= stats.seconds < 10


async def test_two_sets_know_nothing_of_each_other() -> None:
    calls: list[str] = []
    one, two = host_plugins(a=RecordingPlugin("one", calls)), host_plugins(a=RecordingPlugin("two", calls))
    await one.plugins.on_ready(SERVER, None)
    assert calls == ["one"]
    assert dict(two.plugins.stats) == {}
