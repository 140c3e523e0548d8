"""The hooks that are awaited: each failure is contained, each has a deadline."""

from __future__ import annotations

import asyncio
import gc
import re
import time
from pathlib import Path

import anyio
import pytest
from hosted_plugins import (
    RecordingPlugin,
    do_nothing,
    host_plugins,
    ignore_cancellation,
    plugin_with,
    raise_error,
    until,
)
from hostler import (
    Action,
    Advice,
    Exit,
    ExitCause,
)
from hostler.plugins import host as plugin_set
from hostler.testing import FakeServerContext
from launches import a_launch

EXIT = Exit(ExitCause.EXITED, 1, code=1)
SERVER = FakeServerContext("web")


@pytest.mark.parametrize(
    "error", [ValueError("x"), SystemExit(3), KeyboardInterrupt(), GeneratorExit(), asyncio.CancelledError()]
)
async def test_a_failure_is_reported_and_the_rest_still_run(error: BaseException) -> None:
    calls: list[str] = []
    hosted = host_plugins(
        wrong=plugin_with("on_ready", lambda: raise_error(error)), right=RecordingPlugin("right", calls)
    )
    await hosted.plugins.on_ready(SERVER, None)
    assert calls == ["right"]
    assert [(failure.plugin, failure.hook, failure.reason) for failure in hosted.failures] == [
        ("wrong", "on_ready", f"raised {error!r}")
    ]


async def test_each_plugin_has_its_own_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plugin_set, "_HOOK_SECONDS", 0.2)  # 5 s: as they are, the test would take as long
    calls: list[str] = []
    hosted = host_plugins(
        stuck=plugin_with("on_ready", lambda: asyncio.sleep(60)), right=RecordingPlugin("right", calls)
    )
    started = time.monotonic()
    await hosted.plugins.on_ready(SERVER, None)
    assert time.monotonic() - started < 5
    assert calls == ["right"]
    assert hosted.reasons == ["took longer than 0.2 s"]
    assert 0.2 <= hosted.failures[0].seconds < 5


async def test_three_overruns_take_the_hook_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plugin_set, "_HOOK_SECONDS", 0.01)  # 5 s: as they are, the test would take as long
    hosted = host_plugins(stuck=plugin_with("on_ready", lambda: asyncio.sleep(60)))
    for _ in range(4):
        await hosted.plugins.on_ready(SERVER, None)
    assert [failure.disabled for failure in hosted.failures] == [False, False, True]
    assert hosted.plugins.stats["stuck", "on_ready"].calls == 3


async def test_a_swallowed_cancellation_is_named_and_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plugin_set, "_HOOK_SECONDS", 0.1)  # 5 s: as they are, the test would take as long
    seen: list[str] = []
    calls: list[str] = []
    hosted = host_plugins(
        deaf=plugin_with("on_ready", lambda: ignore_cancellation(3, seen)),
        right=RecordingPlugin("right", calls),
    )
    started = time.monotonic()
    await hosted.plugins.on_ready(SERVER, None)
    assert 1.1 <= time.monotonic() - started < 2.9
    assert hosted.reasons == ["took longer than 0.1 s and swallowed its cancellation: it is left running"]
    assert calls == ["right"]
    assert seen == ["cancelled"]

    gc.collect()

    await until(lambda: "ended" in seen)

    assert seen == ["cancelled", "ended"]


async def test_clean_up_in_a_cancelled_hook_may_take_a_moment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plugin_set, "_HOOK_SECONDS", 0.1)  # 5 s: as they are, the test would take as long
    seen: list[str] = []

    async def tidy() -> None:
        try:
            await asyncio.sleep(60)
        finally:
            await asyncio.sleep(0.1)
            seen.append("tidied")

    hosted = host_plugins(tidy=plugin_with("on_ready", tidy))
    await hosted.plugins.on_ready(SERVER, None)
    assert seen == ["tidied"]
    assert hosted.reasons == ["took longer than 0.1 s"]


async def test_hooks_can_use_anyio(tmp_path: Path) -> None:
    seen: list[object] = []

    async def work() -> None:
        with anyio.move_on_after(0.01) as scope:
            await anyio.sleep(60)
        async with anyio.create_task_group() as group:
            group.start_soon(anyio.sleep, 0)
        done = await anyio.run_process(["echo", "hello"])
        seen.extend([scope.cancelled_caught, done.stdout, await anyio.to_thread.run_sync(lambda: 5)])

    hosted = host_plugins(a=plugin_with("pre_spawn", work))
    await hosted.plugins.pre_spawn(SERVER, a_launch(tmp_path), deadline=10)
    assert seen == [True, b"hello\n", 5]


async def test_a_hook_that_blocks_the_loop_is_measured_and_named() -> None:
    async def block() -> None:
        await asyncio.sleep(0.15)
        time.sleep(0.12)  # noqa: ASYNC251 - this is what is measured
        await asyncio.sleep(0.15)

    hosted = host_plugins(
        block=plugin_with("on_ready", block), wait=plugin_with("on_ready", lambda: asyncio.sleep(0.3))
    )
    await hosted.plugins.on_ready(SERVER, None)
    assert [failure.plugin for failure in hosted.failures] == ["block"]
    assert hosted.reasons[0].startswith("blocked the event loop for 0.1")
    assert hosted.plugins.stats["block", "on_ready"].failures == 0


async def test_advice_is_gathered_with_the_names_of_the_plugins() -> None:
    async def give_up() -> Advice:
        return Advice(Action.GIVE_UP)

    async def nonsense() -> str:
        return "give up"

    hosted = host_plugins(
        silent=plugin_with("on_crash", do_nothing),
        wrong=plugin_with("on_crash", nonsense),
        broken=plugin_with("on_crash", lambda: raise_error(ValueError())),
        right=plugin_with("on_crash", give_up),
    )
    assert await hosted.plugins.on_crash(SERVER, EXIT) == [("right", Advice(Action.GIVE_UP))]
    assert hosted.reasons == ["returned str, not Advice or None", "raised ValueError()"]


async def test_on_shutdown_has_two_seconds_for_each_and_three_for_all(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(plugin_set, "_SHUTDOWN_SECONDS", 0.2)
    monkeypatch.setattr(plugin_set, "_SHUTDOWN_TOGETHER", 0.3)  # a tenth, so that the test takes as long
    calls: list[str] = []

    async def note() -> None:
        calls.append("called")

    hosted = host_plugins(
        one=plugin_with("on_shutdown", lambda: asyncio.sleep(60)),
        two=plugin_with("on_shutdown", lambda: asyncio.sleep(60)),
        three=plugin_with("on_shutdown", note),
    )
    await hosted.plugins.on_shutdown(SERVER, "stop")
    assert hosted.reasons[0] == "took longer than 0.2 s"
    (left,) = re.findall(r"took longer than ([\d.e-]+) s", hosted.reasons[1])
    assert float(left) <= 0.1, "what the first one has left of it"
    assert hosted.reasons[2] == "not called: the plugins before it used up the time"
    assert calls == []
    assert ("three", "on_shutdown") not in hosted.plugins.stats


def test_the_deadlines_are_those_of_the_specification() -> None:
    assert (plugin_set._HOOK_SECONDS, plugin_set._SHUTDOWN_SECONDS, plugin_set._SHUTDOWN_TOGETHER) == (
        5,
        2,
        3,
    )
