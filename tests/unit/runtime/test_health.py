"""health = "all" or "any": when a server is ready, when its health is lost, and what is told of it."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Iterator
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import anyio
import pytest
from hostler import (
    Directories,
    ExitCause,
    HealthRule,
    Healthy,
    PluginError,
    PluginSpec,
    Report,
    Server,
    ServerCrashed,
    ServerError,
    ServerSpec,
    StartupTimeout,
    State,
    Supervisor,
    Unhealthy,
    hookimpl,
)
from hostler.runtime.health import HealthMonitor, PluginHealth
from hostler.testing import SimulatedHost, run_virtually, settle
from hypothesis import given
from hypothesis import strategies as st
from specs import QUICK

ALL, ANY = HealthRule.ALL, HealthRule.ANY


@dataclass(eq=False)
class Words:
    """A health plugin that says what the test tells it to, at once."""

    queue: list[Report | Exception] = field(default_factory=list)
    news: anyio.Event = field(default_factory=anyio.Event)

    def say(self, *words: Report | Exception) -> None:
        self.queue.extend(words)
        self.news.set()

    @hookimpl
    async def health_check(self) -> AsyncGenerator[Report, None]:
        while True:
            while self.queue:
                word = self.queue.pop(0)
                if isinstance(word, Exception):
                    raise word
                yield word
            self.news = anyio.Event()
            await self.news.wait()


@dataclass
class Life:
    """One simulated server and its health plugins by name."""

    server: Server
    plugins: dict[str, Words]

    async def say(self, name: str, *words: Report | Exception) -> None:
        self.plugins[name].say(*words)
        await settle()


def live(directories: Directories, rule: HealthRule, main: Any, *, names: str = "ab", **fields: Any) -> None:
    """Run a test in virtual time with a server that has these health plugins."""

    async def run() -> None:
        plugins = {name: Words() for name in names}
        given: dict[str, Any] = {
            "port": None,
            "restart": replace(QUICK, max_restarts=0, start_retries=0),
            "startup_timeout": 5.0,
        } | fields
        spec = ServerSpec(
            name="web",
            command=("simulated",),
            cwd=Path("/"),
            health=rule,
            plugins=tuple(PluginSpec(name, instance=plugin) for name, plugin in plugins.items()),
            **given,
        )
        async with SimulatedHost().supervisor(spec, directories=directories, namespace="test") as supervisor:
            await settle()
            await main(Life(supervisor["web"], plugins))

    run_virtually(run)


BAD = Unhealthy("no")


# -- ready -----------------------------------------------------------------------------------------


def test_with_any_a_word_that_says_nothing_for_it_is_enough_where_there_is_no_other(
    directories: Directories,
) -> None:
    async def main(life: Life) -> None:
        await life.say("a", Healthy(neutral=True))
        assert life.server.state is State.RUNNING

    live(directories, ANY, main, names="a")


@pytest.mark.parametrize("rule", [ALL, ANY])
def test_ready_takes_all_of_them_or_any(directories: Directories, rule: HealthRule) -> None:
    async def main(life: Life) -> None:
        seen = [life.server.state]
        await life.say("a", BAD, Healthy())
        seen.append(life.server.state)
        await life.say("b", Healthy())
        seen.append(life.server.state)
        between = State.RUNNING if rule is ANY else State.WAITING_READY
        assert seen == [State.WAITING_READY, between, State.RUNNING]

    live(directories, rule, main)


def test_without_health_plugins_any_is_ready_with_the_spawn(directories: Directories) -> None:
    async def main(life: Life) -> None:
        assert life.server.state is State.RUNNING

    live(directories, ANY, main, names="")


@pytest.mark.parametrize("rule", [ALL, ANY])
def test_a_start_that_times_out_names_the_last_word_of_each(
    directories: Directories, rule: HealthRule
) -> None:
    async def main(life: Life) -> None:
        await life.say("a", Unhealthy("connection refused", error=ServerError("of its own")))
        await life.say("c", RuntimeError("its own fault")) if rule is ANY else await life.say("c", BAD)

        with pytest.raises(StartupTimeout) as caught:
            await life.server.wait_ready()

        fault = "failed itself, so the health is unknown: RuntimeError: its own fault"
        last = fault if rule is ANY else "no"
        assert caught.value.message.endswith(
            f"it is not ready after 5 s: a: connection refused; b: no report yet; c: {last}"
        )

    live(directories, rule, main, names="abc")


def test_the_only_one_that_is_missing_tells_its_own_error(directories: Directories) -> None:
    async def main(life: Life) -> None:
        await life.say("a", Healthy())
        await life.say("b", Unhealthy("no", error=ServerCrashed("of its own")))
        with pytest.raises(ServerCrashed, match="of its own"):
            await life.server.wait_ready()

    live(directories, ALL, main)


@pytest.mark.parametrize("rule", [ALL, ANY])
def test_a_plugin_that_failed_itself_is_the_error_where_nothing_else_can_be_said(
    directories: Directories, rule: HealthRule
) -> None:
    async def main(life: Life) -> None:
        await life.say("a", RuntimeError("oh"))
        if rule is ANY:
            await life.say("b", RuntimeError("oh"))
        with pytest.raises(PluginError, match="its health is unknown: plugin a failed"):
            await life.server.wait_ready()

    live(directories, rule, main, startup_timeout=0.4)


# -- lost ------------------------------------------------------------------------------------------


def test_with_all_one_past_its_threshold_is_a_crash(directories: Directories) -> None:
    async def main(life: Life) -> None:
        await life.say("a", Healthy())
        await life.say("b", Healthy())
        await life.say("a", Unhealthy("gone"), Unhealthy("gone"))
        assert life.server.state is State.RUNNING
        await life.say("a", Unhealthy("gone"))
        assert life.server.crashes[0].cause is ExitCause.UNHEALTHY
        assert life.server.crashes[0].reason.endswith("not healthy: a: gone (3 times in a row)")

    live(directories, ALL, main)


def test_with_any_all_of_them_have_to_be_past_their_thresholds(directories: Directories) -> None:
    async def main(life: Life) -> None:
        await life.say("a", Healthy())
        await life.say("b", Healthy())
        await life.say("a", *[Unhealthy("gone")] * 9)
        assert life.server.state is State.RUNNING
        assert life.server.health == "healthy"
        await life.say("b", *[Unhealthy("too")] * 2)
        assert life.server.state is State.RUNNING
        assert life.server.health == "unhealthy"
        await life.say("b", Unhealthy("too"))
        reason = life.server.crashes[0].reason
        assert reason.endswith("not healthy: a: gone (9 times in a row); b: too (3 times in a row)")

    live(directories, ANY, main)


def test_with_any_one_that_never_reported_keeps_nothing_up(directories: Directories) -> None:
    async def main(life: Life) -> None:
        await life.say("a", Healthy(), BAD, BAD, BAD)
        assert life.server.crashes[0].reason.endswith("not healthy: a: no (3 times in a row)")

    live(directories, ANY, main)


def test_with_any_unknown_is_not_unhealthy(directories: Directories) -> None:
    async def main(life: Life) -> None:
        await life.say("a", Healthy())
        await life.say("b", Healthy())
        await life.say("b", RuntimeError("its own fault"))
        await life.say("a", *[BAD] * 9)
        assert life.server.state is State.RUNNING
        life.plugins["b"].say(*[BAD] * 3)  # it is started again after 0.5 s
        await anyio.sleep(0.6)
        await settle()
        assert life.server.crashes

    live(directories, ANY, main)


@pytest.mark.parametrize("rule", [ALL, ANY])
@pytest.mark.parametrize("word", [Unhealthy("no", fatal=True), Unhealthy("no", permanent=True)])
def test_fatal_and_permanent_ask_nobody_else(
    directories: Directories, rule: HealthRule, word: Unhealthy
) -> None:
    async def main(life: Life) -> None:
        await life.say("a", Healthy())
        await life.say("b", Healthy(), word)
        assert life.server.crashes[0].reason.endswith("b: no")

    live(directories, rule, main)


@pytest.mark.parametrize(("limit", "enough"), [(1, 1), (5, 5), (None, 2)])
def test_a_report_can_name_its_own_limit(directories: Directories, limit: int | None, enough: int) -> None:
    async def main(life: Life) -> None:
        await life.say("a", Healthy(), *[Unhealthy("no", limit=limit)] * (enough - 1))
        assert not life.server.crashes
        await life.say("a", Unhealthy("no", limit=limit))
        often = f" ({enough} times in a row)" if enough > 1 else ""
        assert life.server.crashes[0].reason.endswith(f"a: no{often}")

    live(directories, ALL, main, names="a", max_connection_failures=2)


def test_what_each_has_said_stands_on_disk_for_explain(directories: Directories) -> None:
    async def main(life: Life) -> None:
        await life.say("a", BAD)
        await anyio.sleep(1)
        (file,) = directories.data.rglob("status/web.json")
        assert json.loads(file.read_text())["health"] == [
            "unhealthy (a, 1 in a row): no",
            "no report yet from b",
        ]

    live(directories, ALL, main)


# -- the rule by itself ----------------------------------------------------------------------------

words = st.sampled_from(
    [Healthy(), Unhealthy("no"), Unhealthy("no", limit=1), Unhealthy("no", limit=3), RuntimeError()]
)


@given(
    st.sampled_from(HealthRule),
    st.integers(1, 4),
    st.lists(st.tuples(st.integers(0, 2), words), max_size=40),
)
def test_whatever_they_say_the_rule_holds(
    rule: HealthRule, limit: int, said: list[tuple[int, Report | Exception]]
) -> None:
    """Told a second way: from all that each has said, and not from counters."""
    openers: Any = {str(number): None for number in range(3)}
    watch = HealthMonitor(
        openers, on_change=_nothing, on_flood=_nothing, on_report=_nothing, rule=rule, limit=limit
    )
    plugins = {name: PluginHealth(name) for name in openers}
    history: dict[str, list[Report | Exception]] = {name: [] for name in openers}

    for number, word in said:
        name = str(number)
        history[name].append(word)
        plugins[name].note_fault("oh") if isinstance(word, Exception) else plugins[name].note(word)
        watch.take(replace(plugins[name]))

        good = [isinstance(words[-1], Healthy) for words in history.values() if words]
        assert watch.healthy == (len(good) == 3 and all(good) if rule is ALL else any(good))
        expected = _lost(rule, limit, history)
        assert {plugin.name for plugin in watch.lost} == expected
        assert not (watch.lost and watch.healthy)


def _nothing(*_: object) -> None: ...


def _lost(rule: HealthRule, limit: int, history: dict[str, list[Report | Exception]]) -> set[str]:
    past = {name for name, words in history.items() if _past(words, limit)}
    reported = {n for n, words in history.items() if any(not isinstance(w, Exception) for w in words)}
    return past if rule is ALL or past == reported else set()


def _past(words: list[Report | Exception], limit: int) -> bool:
    if not words or not isinstance(words[-1], Unhealthy):
        return False
    return len(list(_row(words))) >= (words[-1].limit or limit)


def _row(words: list[Report | Exception]) -> Iterator[Unhealthy]:
    """The failures since it was last healthy; in between it may have failed itself."""
    for word in reversed(words):
        if isinstance(word, Healthy):
            return
        if isinstance(word, Unhealthy):
            yield word


async def test_a_real_server_is_kept_by_any_of_two(directories: Directories, tmp_path: Path) -> None:
    """One probe always fails; the other follows a file."""
    file = tmp_path / "fine"
    file.touch()
    probes = (
        PluginSpec("exec-health", {"command": ["false"], "interval": "50ms"}),
        PluginSpec("file", {"path": "fine"}, use="hostler_plugins.file_ready:FileReady"),
    )
    spec = ServerSpec(
        name="worker",
        command=("/bin/sh", "-c", "touch fine; exec sleep 60"),
        cwd=tmp_path,
        port=None,
        health=ANY,
        plugins=probes,
    )
    async with Supervisor(spec, directories=directories) as supervisor:
        server = supervisor["worker"]
        await server.wait_ready(10)
        with anyio.fail_after(10):
            assert server._engine.run is not None
            assert server._engine.run.health is not None
            watch = server._engine.run.health
            await server.until(lambda: watch.plugins["exec-health"].failures > 5)
        assert server.state is State.RUNNING
        assert server.health == "healthy"


@dataclass(eq=False)
class Breaks:
    """Notes when it is started, and fails."""

    at: list[float] = field(default_factory=list)

    @hookimpl
    async def health_check(self) -> AsyncGenerator[Report, None]:
        self.at.append(anyio.current_time())
        raise RuntimeError("broken")
        yield Healthy()


def test_a_check_that_fails_itself_is_started_less_and_less_often(directories: Directories) -> None:
    breaks = Breaks()

    async def main() -> None:
        plugins = (PluginSpec("breaks", instance=breaks),)
        spec = ServerSpec(name="web", command=("x",), port=None, startup_timeout=600.0, plugins=plugins)
        async with SimulatedHost().supervisor(spec, directories=directories):
            await anyio.sleep(150)

    run_virtually(main)
    assert [round(after - before, 3) for before, after in pairwise(breaks.at)][:8] == [
        0.5,
        1,
        2,
        4,
        8,
        16,
        30,
        30,
    ]
