"""Hooks are called one plugin after the other, and none of them can spoil another or the engine."""

from __future__ import annotations

import asyncio
import gc
import re
import time
from collections.abc import AsyncGenerator, Callable, Coroutine
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import anyio
import pytest
from hostler import (
    Action,
    Advice,
    Endpoint,
    EnvironmentSetupFailed,
    Exit,
    ExitCause,
    Healthy,
    Launch,
    PluginError,
    PluginSpec,
    PortInUse,
    Report,
    hookimpl,
)
from hostler.plugins import host as plugin_set
from hostler.plugins.accounting import Failure
from hostler.plugins.host import PluginHost
from hostler.testing import FakeServerContext

EXIT = Exit(ExitCause.EXITED, 1, code=1)
SERVER = FakeServerContext("web")


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@dataclass
class Heard:
    """A set of plugins, and the failures that it told."""

    plugins: PluginHost
    failures: list[Failure]

    @property
    def reasons(self) -> list[str]:
        return [failure.reason for failure in self.failures]


def together(**instances: object) -> Heard:
    failures: list[Failure] = []
    specs = [PluginSpec(name, instance=instance) for name, instance in instances.items()]
    return Heard(PluginHost.build(specs, on_failure=failures.append), failures)


def a_launch(tmp_path: Path) -> Launch:
    return Launch(
        server="web",
        generation=1,
        argv=[],
        cwd=tmp_path,
        env={},
        host="127.0.0.1",
        port=None,
        data_dir=tmp_path,
        cache_dir=tmp_path,
    )


def telling(hook: str, body: Callable[[], Coroutine[Any, Any, object]]) -> object:
    """A plugin with one async hook."""

    @hookimpl(specname=hook)
    async def call(self: object) -> object:
        return await body()

    return type("Telling", (), {"call": call})()


async def nothing() -> None:
    return None


async def raise_it(error: BaseException) -> None:
    await asyncio.sleep(0)
    raise error


async def swallow(seconds: float, seen: list[str]) -> None:
    """Sleep, and go on sleeping when cancelled."""
    ends = time.monotonic() + seconds

    while (left := ends - time.monotonic()) > 0:
        try:
            await asyncio.sleep(left)
        except asyncio.CancelledError:
            seen.append("cancelled")

    seen.append("ended")


async def until(condition: Callable[[], bool]) -> None:
    with anyio.fail_after(5):
        while not condition():  # noqa: ASYNC110 - what is waited for knows no event
            await asyncio.sleep(0.01)


class Noting:
    """Notes its name when it is called."""

    def __init__(self, name: str, calls: list[str]) -> None:
        self.name, self.calls = name, calls

    @hookimpl
    async def on_ready(self) -> None:
        self.calls.append(self.name)


class First(Noting):
    @hookimpl(tryfirst=True)
    async def on_ready(self) -> None:
        self.calls.append(self.name)


class Last(Noting):
    @hookimpl(trylast=True)
    async def on_ready(self) -> None:
        self.calls.append(self.name)


# -- order and arguments ----------------------------------------------------------------------


async def test_the_order_of_the_configuration_is_the_order_of_the_calls() -> None:
    calls: list[str] = []
    heard = together(a=Noting("a", calls), b=Noting("b", calls), c=Noting("c", calls))
    await heard.plugins.on_ready(SERVER, None)
    assert calls == ["a", "b", "c"]
    assert heard.plugins.names == ("a", "b", "c")


async def test_tryfirst_and_trylast_go_before_and_after_and_keep_the_order_among_themselves() -> None:
    calls: list[str] = []
    heard = together(
        y=Last("y", calls), z=Last("z", calls), m=Noting("m", calls), a=First("a", calls), b=First("b", calls)
    )
    await heard.plugins.on_ready(SERVER, None)
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

    plugins = together(some=Some()).plugins
    endpoint = Endpoint("127.0.0.1", 80)
    await plugins.on_ready(SERVER, endpoint)
    await plugins.on_shutdown(SERVER, "stop asked")
    await plugins.on_crash(SERVER, EXIT)
    assert got == [(endpoint, 7), ("stop asked", SERVER), EXIT]


def test_a_set_knows_its_plugins_and_their_hooks() -> None:
    plugin = Noting("a", [])
    plugins = together(a=plugin).plugins
    assert plugins.has("on_ready")
    assert not plugins.has("parse_port")
    assert plugins.plugin("a") is plugin

    with pytest.raises(KeyError):
        plugins.plugin("b")


# -- pre_spawn --------------------------------------------------------------------------------


async def test_pre_spawn_edits_the_launch_one_plugin_after_the_other(tmp_path: Path) -> None:
    class Adding:
        def __init__(self, word: str) -> None:
            self.word = word

        @hookimpl
        async def pre_spawn(self, launch: Launch) -> None:
            await asyncio.sleep(0.01)
            launch.argv.append(self.word)

    launch = a_launch(tmp_path)
    await together(a=Adding("one"), b=Adding("two")).plugins.pre_spawn(SERVER, launch, deadline=5)
    assert launch.argv == ["one", "two"]


async def test_a_server_error_in_pre_spawn_passes_as_it_is_and_stops_the_rest(tmp_path: Path) -> None:
    error = PortInUse("taken")
    calls: list[str] = []

    async def note() -> None:
        calls.append("second")

    heard = together(a=telling("pre_spawn", lambda: raise_it(error)), b=telling("pre_spawn", note))

    with pytest.raises(PortInUse) as caught:
        await heard.plugins.pre_spawn(SERVER, a_launch(tmp_path), deadline=5)

    assert caught.value is error
    assert caught.value.context.server == "web"
    assert calls == []
    assert heard.failures == []


@pytest.mark.parametrize(
    "error", [ValueError("x"), SystemExit(3), KeyboardInterrupt(), GeneratorExit(), asyncio.CancelledError()]
)
async def test_any_other_failure_in_pre_spawn_fails_the_start_and_is_named(
    error: BaseException, tmp_path: Path
) -> None:
    heard = together(a=telling("pre_spawn", lambda: raise_it(error)))

    with pytest.raises(EnvironmentSetupFailed) as caught:
        await heard.plugins.pre_spawn(SERVER, a_launch(tmp_path), deadline=5)

    assert f'web: plugin "a" failed in pre_spawn: it raised {error!r}' in str(caught.value)
    assert caught.value.__cause__ is error
    assert not caught.value.permanent
    assert [(failure.plugin, failure.hook, failure.disabled) for failure in heard.failures] == [
        ("a", "pre_spawn", False)
    ]


async def test_all_pre_spawns_share_one_deadline(tmp_path: Path) -> None:
    heard = together(
        a=telling("pre_spawn", lambda: asyncio.sleep(0.15)), b=telling("pre_spawn", lambda: asyncio.sleep(30))
    )

    with pytest.raises(EnvironmentSetupFailed, match=r'plugin "b".*took longer than') as caught:
        await heard.plugins.pre_spawn(SERVER, a_launch(tmp_path), deadline=0.3)

    (told,) = re.findall(r"took longer than ([\d.e-]+) s", str(caught.value))
    assert float(told) <= 0.15, "what the first one has left of it"
    assert "prepare_timeout (0.3 s)" in str(caught.value)
    assert heard.plugins.blame["a", "pre_spawn"].failures == 0


async def test_a_pre_spawn_that_fails_again_and_again_is_never_taken_out(tmp_path: Path) -> None:
    heard = together(a=telling("pre_spawn", lambda: raise_it(ValueError())))

    for _ in range(5):
        with pytest.raises(EnvironmentSetupFailed):
            await heard.plugins.pre_spawn(SERVER, a_launch(tmp_path), deadline=5)

    assert heard.plugins.blame["a", "pre_spawn"].in_a_row == 5
    assert not heard.plugins.blame["a", "pre_spawn"].disabled


async def test_no_time_left_is_a_timeout_too(tmp_path: Path) -> None:
    heard = together(a=telling("pre_spawn", lambda: asyncio.sleep(30)))

    with pytest.raises(EnvironmentSetupFailed, match="took longer than 0 s"):
        await heard.plugins.pre_spawn(SERVER, a_launch(tmp_path), deadline=-1)


# -- parse_port -------------------------------------------------------------------------------


class Answering:
    def __init__(self, answer: object) -> None:
        self.answer = answer
        self.asked = 0

    @hookimpl
    def parse_port(self, line: str) -> Any:
        self.asked += 1

        if isinstance(self.answer, BaseException):
            raise self.answer

        return self.answer(line) if callable(self.answer) else self.answer


def test_the_first_answer_wins_and_is_told_with_its_plugin() -> None:
    first, second = Endpoint("127.0.0.1", 1), Endpoint("127.0.0.1", 65535)
    silent, late = Answering(None), Answering(second)
    plugins = together(silent=silent, first=Answering(first), late=late).plugins
    assert plugins.parse_port(SERVER, "listening", "stdout") == ("first", first)
    assert (silent.asked, late.asked) == (1, 0)


def test_no_answer_is_none() -> None:
    assert together(silent=Answering(None)).plugins.parse_port(SERVER, "hello", "stderr") is None


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (ValueError("x"), "raised ValueError('x')"),
        (SystemExit(1), "raised SystemExit(1)"),
        (KeyboardInterrupt(), "raised KeyboardInterrupt()"),
        (GeneratorExit(), "raised GeneratorExit()"),
        (asyncio.CancelledError(), "raised CancelledError()"),
        (8080, "returned int, not Endpoint or None"),
        (Endpoint("127.0.0.1", 0), "returned port 0, which is not a number from 1 to 65535"),
        (Endpoint("127.0.0.1", 65536), "returned port 65536, which is not a number from 1 to 65535"),
        (Endpoint("127.0.0.1", "80"), "returned port '80', which is not a number from 1 to 65535"),  # type: ignore[arg-type]
        (Endpoint("127.0.0.1", True), "returned port True, which is not a number from 1 to 65535"),
    ],
)
def test_a_plugin_that_fails_on_a_line_is_reported_and_the_next_is_asked(answer: object, reason: str) -> None:
    right = Endpoint("127.0.0.1", 80)
    heard = together(wrong=Answering(answer), right=Answering(right))
    assert heard.plugins.parse_port(SERVER, "listening", "stdout") == ("right", right)
    assert [(failure.plugin, failure.hook, failure.reason) for failure in heard.failures] == [
        ("wrong", "parse_port", reason)
    ]


def test_an_exception_that_cannot_be_shown_is_contained_and_a_long_one_is_cut() -> None:
    class Unshowable(Exception):
        def __repr__(self) -> str:
            raise RuntimeError

    heard = together(a=Answering(Unshowable()), b=Answering(ValueError("x" * 5000)))
    heard.plugins.parse_port(SERVER, "", "stdout")
    assert heard.reasons[0] == "raised Unshowable"
    assert len(heard.reasons[1]) < 400


def test_a_plugin_that_is_slow_on_a_line_is_named_and_its_answer_counts() -> None:
    endpoint = Endpoint("127.0.0.1", 80)

    def slowly(line: str) -> Endpoint:
        time.sleep(float(line))
        return endpoint

    heard = together(slow=Answering(slowly))
    assert heard.plugins.parse_port(SERVER, "0.1", "stdout") == ("slow", endpoint)
    assert "held up a line of output for 0." in heard.reasons[0]
    assert heard.failures[0].seconds > 0.05

    heard.plugins.parse_port(SERVER, "0.06", "stdout")
    heard.plugins.parse_port(SERVER, "0", "stdout")
    assert len(heard.failures) == 1, "the same slowness is not told again with every line"

    heard.plugins.parse_port(SERVER, "0.3", "stdout")
    assert len(heard.failures) == 2
    assert heard.plugins.blame["slow", "parse_port"].failures == 0


def test_three_failures_in_a_row_take_a_hook_out_and_this_is_told() -> None:
    wrong, right = Answering(ValueError()), Answering(None)
    heard = together(wrong=wrong, right=right)

    for _ in range(5):
        heard.plugins.parse_port(SERVER, "", "stdout")

    assert [failure.disabled for failure in heard.failures] == [False, False, True]
    assert (wrong.asked, right.asked) == (3, 5)
    assert heard.plugins.blame["wrong", "parse_port"].disabled
    assert heard.plugins.has("parse_port")


def test_a_success_in_between_forgives() -> None:
    def moody(line: str) -> None:
        if line == "bad":
            raise ValueError

    plugin = Answering(moody)
    heard = together(moody=plugin)

    for line in ("bad", "bad", "good", "bad", "bad", "good"):
        heard.plugins.parse_port(SERVER, line, "stdout")

    assert plugin.asked == 6
    assert not any(failure.disabled for failure in heard.failures)
    blame = heard.plugins.blame["moody", "parse_port"]
    assert (blame.calls, blame.failures, blame.in_a_row) == (6, 4, 0)


async def test_one_hook_of_a_plugin_is_taken_out_and_its_others_stay() -> None:
    calls: list[str] = []

    class Half:
        @hookimpl
        def parse_port(self) -> None:
            raise ValueError

        @hookimpl
        async def on_ready(self) -> None:
            calls.append("ready")

    heard = together(half=Half())

    for _ in range(3):
        heard.plugins.parse_port(SERVER, "", "stdout")

    await heard.plugins.on_ready(SERVER, None)
    assert calls == ["ready"]


# -- the hooks that tell ----------------------------------------------------------------------


@pytest.mark.parametrize(
    "error", [ValueError("x"), SystemExit(3), KeyboardInterrupt(), GeneratorExit(), asyncio.CancelledError()]
)
async def test_a_failure_is_reported_and_the_rest_still_run(error: BaseException) -> None:
    calls: list[str] = []
    heard = together(wrong=telling("on_ready", lambda: raise_it(error)), right=Noting("right", calls))
    await heard.plugins.on_ready(SERVER, None)
    assert calls == ["right"]
    assert [(failure.plugin, failure.hook, failure.reason) for failure in heard.failures] == [
        ("wrong", "on_ready", f"raised {error!r}")
    ]


async def test_each_plugin_has_its_own_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plugin_set, "_HOOK_SECONDS", 0.2)  # 5 s: as they are, the test would take as long
    calls: list[str] = []
    heard = together(stuck=telling("on_ready", lambda: asyncio.sleep(60)), right=Noting("right", calls))
    started = time.monotonic()
    await heard.plugins.on_ready(SERVER, None)
    assert time.monotonic() - started < 10
    assert calls == ["right"]
    assert heard.reasons == ["took longer than 0.2 s"]
    assert 0.2 <= heard.failures[0].seconds < 10


async def test_three_overruns_take_the_hook_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plugin_set, "_HOOK_SECONDS", 0.01)  # 5 s: as they are, the test would take as long
    heard = together(stuck=telling("on_ready", lambda: asyncio.sleep(60)))

    for _ in range(4):
        await heard.plugins.on_ready(SERVER, None)

    assert [failure.disabled for failure in heard.failures] == [False, False, True]
    assert heard.plugins.blame["stuck", "on_ready"].calls == 3


async def test_a_swallowed_cancellation_is_named_and_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plugin_set, "_HOOK_SECONDS", 0.1)  # 5 s: as they are, the test would take as long
    seen: list[str] = []
    calls: list[str] = []
    heard = together(deaf=telling("on_ready", lambda: swallow(3, seen)), right=Noting("right", calls))
    started = time.monotonic()
    await heard.plugins.on_ready(SERVER, None)
    assert 1.1 <= time.monotonic() - started < 2.9
    assert heard.reasons == ["took longer than 0.1 s and swallowed its cancellation: it is left running"]
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

    heard = together(tidy=telling("on_ready", tidy))
    await heard.plugins.on_ready(SERVER, None)
    assert seen == ["tidied"]
    assert heard.reasons == ["took longer than 0.1 s"]


async def test_hooks_can_use_anyio(tmp_path: Path) -> None:
    seen: list[object] = []

    async def work() -> None:
        with anyio.move_on_after(0.01) as scope:
            await anyio.sleep(60)

        async with anyio.create_task_group() as group:
            group.start_soon(anyio.sleep, 0)

        done = await anyio.run_process(["echo", "hello"])
        seen.extend([scope.cancelled_caught, done.stdout, await anyio.to_thread.run_sync(lambda: 5)])

    heard = together(a=telling("pre_spawn", work))
    await heard.plugins.pre_spawn(SERVER, a_launch(tmp_path), deadline=10)
    assert seen == [True, b"hello\n", 5]


async def test_a_hook_that_blocks_the_loop_is_measured_and_named() -> None:
    async def block() -> None:
        await asyncio.sleep(0.15)
        time.sleep(0.12)  # noqa: ASYNC251 - this is what is measured
        await asyncio.sleep(0.15)

    heard = together(block=telling("on_ready", block), wait=telling("on_ready", lambda: asyncio.sleep(0.3)))
    await heard.plugins.on_ready(SERVER, None)
    assert [failure.plugin for failure in heard.failures] == ["block"]
    assert heard.reasons[0].startswith("blocked the event loop for 0.1")
    assert heard.plugins.blame["block", "on_ready"].failures == 0


async def test_advice_is_gathered_with_the_names_of_the_plugins() -> None:
    async def give_up() -> Advice:
        return Advice(Action.GIVE_UP)

    async def nonsense() -> str:
        return "give up"

    heard = together(
        silent=telling("on_crash", nothing),
        wrong=telling("on_crash", nonsense),
        broken=telling("on_crash", lambda: raise_it(ValueError())),
        right=telling("on_crash", give_up),
    )
    assert await heard.plugins.on_crash(SERVER, EXIT) == [("right", Advice(Action.GIVE_UP))]
    assert heard.reasons == ["returned str, not Advice or None", "raised ValueError()"]


async def test_on_shutdown_has_two_seconds_for_each_and_three_for_all(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(plugin_set, "_SHUTDOWN_SECONDS", 0.2)
    monkeypatch.setattr(plugin_set, "_SHUTDOWN_TOGETHER", 0.3)  # a tenth, so that the test takes as long
    calls: list[str] = []

    async def note() -> None:
        calls.append("called")

    heard = together(
        one=telling("on_shutdown", lambda: asyncio.sleep(60)),
        two=telling("on_shutdown", lambda: asyncio.sleep(60)),
        three=telling("on_shutdown", note),
    )
    await heard.plugins.on_shutdown(SERVER, "stop")
    assert heard.reasons[0] == "took longer than 0.2 s"
    (left,) = re.findall(r"took longer than ([\d.e-]+) s", heard.reasons[1])
    assert float(left) <= 0.1, "what the first one has left of it"
    assert heard.reasons[2] == "not called: the plugins before it used up the time"
    assert calls == []
    assert ("three", "on_shutdown") not in heard.plugins.blame


def test_the_deadlines_are_those_of_the_specification() -> None:
    assert (plugin_set._HOOK_SECONDS, plugin_set._SHUTDOWN_SECONDS, plugin_set._SHUTDOWN_TOGETHER) == (
        5,
        2,
        3,
    )


# -- cancellation from outside ----------------------------------------------------------------


@dataclass
class Long:
    """A hook that waits, and what became of it."""

    started: asyncio.Event = field(default_factory=asyncio.Event)
    seen: list[str] = field(default_factory=list)

    async def run(self) -> None:
        self.started.set()

        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            await asyncio.sleep(0.05)
            self.seen.append("cancelled")
            raise


async def test_a_cancelled_host_cancels_the_hook_and_is_cancelled() -> None:
    long, calls = Long(), list[str]()
    heard = together(long=telling("on_ready", long.run), after=Noting("after", calls))
    task = asyncio.create_task(heard.plugins.on_ready(SERVER, None))
    await long.started.wait()
    task.cancel()

    with pytest.raises(asyncio.CancelledError):
        await task

    assert long.seen == ["cancelled"]
    assert calls == []
    assert heard.failures == []
    blame = heard.plugins.blame["long", "on_ready"]
    assert (blame.calls, blame.failures) == (1, 0)


async def test_a_host_that_is_cancelled_twice_is_cancelled_at_once_and_the_hook_still_ends() -> None:
    long = Long()
    heard = together(long=telling("on_ready", long.run))
    task = asyncio.create_task(heard.plugins.on_ready(SERVER, None))
    await long.started.wait()
    task.cancel()
    await asyncio.sleep(0)
    task.cancel()

    with pytest.raises(asyncio.CancelledError):
        await task

    assert long.seen == []

    await until(lambda: bool(long.seen))

    assert heard.failures == []


async def test_a_scope_of_the_host_cancels_the_hook() -> None:
    long = Long()
    heard = together(long=telling("on_ready", long.run))

    with anyio.move_on_after(0.1) as scope:
        await heard.plugins.on_ready(SERVER, None)

    assert scope.cancelled_caught
    assert long.seen == ["cancelled"]


async def test_a_hook_cannot_keep_its_host_from_being_cancelled() -> None:
    seen: list[str] = []
    heard = together(deaf=telling("on_ready", lambda: swallow(3, seen)))
    started = time.monotonic()

    with anyio.move_on_after(0.1) as scope:
        await heard.plugins.on_ready(SERVER, None)

    assert scope.cancelled_caught
    assert time.monotonic() - started < 2.9
    assert heard.reasons == ["was cancelled and swallowed its cancellation: it is left running"]

    await until(lambda: "ended" in seen)


async def test_a_hook_cancelled_before_its_first_step_leaves_no_trace() -> None:
    heard = together(a=telling("on_ready", nothing))
    task = asyncio.create_task(heard.plugins.on_ready(SERVER, None))
    await asyncio.sleep(0)
    task.cancel()

    with pytest.raises(asyncio.CancelledError):
        await task


def test_a_loop_that_is_closed_over_a_running_hook_closes_it() -> None:
    seen: list[str] = []

    async def hang() -> None:
        try:
            await asyncio.sleep(60)
        finally:
            seen.append("closed")

    heard = together(hang=telling("on_ready", hang))

    async def leave() -> None:
        task = asyncio.create_task(heard.plugins.on_ready(SERVER, None))
        await asyncio.sleep(0.01)
        task.cancel()
        await asyncio.sleep(0)

    asyncio.run(leave())
    assert seen == ["closed"]


def test_system_exit_in_a_hook_does_not_end_the_loop() -> None:
    heard = together(a=telling("on_ready", lambda: raise_it(SystemExit(7))))
    asyncio.run(heard.plugins.on_ready(SERVER, None))
    assert heard.reasons == ["raised SystemExit(7)"]


# -- health_check -----------------------------------------------------------------------------


async def test_health_checks_are_fresh_streams_whose_code_has_not_run() -> None:
    ran: list[object] = []

    class Watching:
        @hookimpl
        async def health_check(self, endpoint: Endpoint | None) -> AsyncGenerator[Report, None]:
            ran.append(endpoint)
            yield Healthy()

    plugins = together(a=Watching(), b=Watching()).plugins
    streams = plugins.health_checks(SERVER, None)
    assert [name for name, _ in streams] == ["a", "b"]
    assert ran == []
    assert [report async for report in streams[0][1]] == [Healthy()]
    again = plugins.health_openers(SERVER, Endpoint("h", 1))["a"]()
    assert [report async for report in again] == [Healthy()]
    assert ran == [None, Endpoint("h", 1)]
    assert plugins.blame["a", "health_check"].calls == 2


def test_a_failed_health_check_is_counted_and_never_taken_out() -> None:
    class Watching:
        @hookimpl
        async def health_check(self) -> AsyncGenerator[Report, None]:
            yield Healthy()

    heard = together(a=Watching())

    for _ in range(4):
        heard.plugins.health_checks(SERVER, None)
        heard.plugins.health_failed("a", "raised ValueError()", 1.5)

    assert heard.failures[-1] == Failure("a", "health_check", "raised ValueError()", 1.5)
    assert heard.plugins.blame["a", "health_check"].failures == 4
    assert len(heard.plugins.health_checks(SERVER, None)) == 1


# -- blame and independence -------------------------------------------------------------------


async def test_every_call_is_counted_and_timed() -> None:
    heard = together(a=telling("on_ready", lambda: asyncio.sleep(0.05)))
    await heard.plugins.on_ready(SERVER, None)
    await heard.plugins.on_ready(SERVER, None)
    blame = heard.plugins.blame["a", "on_ready"]
    assert blame.calls == 2
    assert 0.1 <= blame.seconds < 10


async def test_two_sets_know_nothing_of_each_other() -> None:
    calls: list[str] = []
    one, two = together(a=Noting("one", calls)), together(a=Noting("two", calls))
    await one.plugins.on_ready(SERVER, None)
    assert calls == ["one"]
    assert dict(two.plugins.blame) == {}


# -- expand -----------------------------------------------------------------------------------


@dataclass(eq=False)
class Templated:
    url: str = "none"
    words: list[str] = field(default_factory=list)
    table: dict[str, str] = field(default_factory=dict)
    plain: str = "plain"
    number: int = 1
    mixed: list[Any] = field(default_factory=list)
    length: int = field(init=False, default=0)

    def __post_init__(self) -> None:
        if "refused" in self.url:
            raise ValueError("refused")

        self.length = len(self.url)

    @hookimpl
    async def on_ready(self) -> None: ...


@dataclass(eq=False, frozen=True)
class Frozen:
    url: str = ""

    @hookimpl
    async def on_ready(self) -> None: ...


def templated(class_: type = Templated, **options: object) -> tuple[PluginHost, Any]:
    spec = PluginSpec("t", options, use=f"{__name__}:{class_.__name__}")
    plugins = PluginHost.build([spec], on_failure=lambda failure: None)
    return plugins, plugins.plugin("t")


def filler(port: int) -> Callable[[str], str]:
    return lambda text: text.replace("${server.port}", str(port)).replace("$$", "$")


def test_options_with_references_are_filled_in_anew_before_each_spawn() -> None:
    plugins, plugin = templated(
        url="http://h:${server.port}/",
        words=["a", "p=${server.port}"],
        table={"x": "${server.port}", "y": "$$5"},
        number=5,
        mixed=[1, "${server.port}"],
        plain="as it is",
    )

    for port in (8080, 9):
        plugins.expand(filler(port))
        assert plugin.url == f"http://h:{port}/"
        assert plugin.words == ["a", f"p={port}"]
        assert plugin.table == {"x": str(port), "y": "$5"}
        assert plugin.mixed == [1, str(port)]
        assert plugin.length == len(plugin.url), "what __post_init__ derives follows"

    assert (plugin.number, plugin.plain) == (5, "as it is")


def test_what_does_not_change_is_left_alone() -> None:
    plugins, plugin = templated(url="ends with $", table={"y": "$"}, words=["$", "x"])
    plugin.length = -1
    plugins.expand(filler(1))
    assert plugin.length == -1


def test_a_filled_option_that_the_plugin_refuses_is_told() -> None:
    plugins, _ = templated(url="${word}")

    for _ in range(2):
        with pytest.raises(PluginError, match=r'plugin "t" refuses what was filled into url: ValueError'):
            plugins.expand(lambda text: "refused")


def test_an_option_that_cannot_be_set_is_told() -> None:
    plugins, _ = templated(Frozen, url="${server.port}")

    with pytest.raises(PluginError, match="FrozenInstanceError"):
        plugins.expand(filler(1))


def test_a_reference_that_nobody_knows_is_the_callers_error() -> None:
    plugins, _ = templated(url="${nobody}")

    def unknown(text: str) -> str:
        raise LookupError(text)

    with pytest.raises(LookupError):
        plugins.expand(unknown)


def test_a_ready_made_object_is_not_filled_in() -> None:
    plugin = Templated(url="${server.port}")
    together(t=plugin).plugins.expand(filler(1))
    assert plugin.url == "${server.port}"
