"""hostler.poll: when it asks, what it passes on, and that it costs nothing in between; in virtual time."""

from __future__ import annotations

import asyncio
import itertools
import selectors
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from dataclasses import dataclass

import anyio
import pytest
from hostler import (
    Healthy,
    PluginSpec,
    PollOptions,
    Report,
    ServerSpec,
    ServerView,
    Unhealthy,
    hookimpl,
    option,
    poll,
)
from hostler.plugins.options import build, option_fields, option_problems
from hostler.testing import FakeServerContext, run_virtually
from hypothesis import given
from hypothesis import strategies as st

BAD = Unhealthy("no")
GOOD = Healthy()


def scripted(answers: list[Report], asked: list[float]) -> Callable[[], Awaitable[Report]]:
    """A probe that gives one answer after the other, the last one for ever, and notes when it was asked."""
    left = list(answers)

    async def probe() -> Report:
        asked.append(anyio.current_time())
        return left.pop(0) if len(left) > 1 else left[0]

    return probe


async def take(reports: AsyncGenerator[Report, None], count: int) -> list[Report]:
    async with aclosing(reports):
        return [await anext(reports) for _ in range(count)]


def waits(asked: list[float]) -> list[float]:
    return [after - before for before, after in itertools.pairwise(asked)]


def test_it_asks_at_once_then_quickly_and_then_at_the_interval() -> None:
    asked: list[float] = []

    async def main() -> float:
        began = anyio.current_time()
        await take(poll(scripted([*[BAD] * 7, GOOD], asked), interval=1.0, timeout=5.0), 12)
        return began

    began = run_virtually(main)
    assert asked[0] == began
    assert waits(asked)[:7] == pytest.approx([0.05, 0.1, 0.2, 0.4, 0.8, 1.0, 1.0])
    assert all(0.9 <= wait <= 1.1 for wait in waits(asked)[7:])
    assert len({round(wait, 6) for wait in waits(asked)[7:]}) > 1, "many servers must not ask at one moment"


def test_a_server_that_asks_for_a_wait_is_left_alone_for_so_long_within_bounds() -> None:
    asked: list[float] = []
    busy: list[Report] = [Unhealthy("busy", retry_after=after) for after in (7.0, 0.0, 3600.0)]

    run_virtually(
        lambda: take(poll(scripted([*busy, GOOD, *busy, GOOD], asked), interval=1.0, timeout=5.0), 8)
    )
    during_start, after_ready = waits(asked)[:3], waits(asked)[4:7]
    assert during_start == pytest.approx([7.0, 0.1, 30.0])
    assert after_ready == pytest.approx([7.0, 1.0, 30.0], abs=0.11)


def test_a_failure_after_ready_is_no_reason_to_ask_more_often() -> None:
    asked: list[float] = []

    async def main() -> None:
        await take(poll(scripted([GOOD, BAD], asked), interval=10.0, timeout=5.0), 5)

    run_virtually(main)
    assert min(waits(asked)) >= 9.0


def test_healthy_takes_so_many_successes_in_a_row_each_time() -> None:
    asked: list[float] = []
    answers: list[Report] = [GOOD, BAD, GOOD, GOOD, GOOD, BAD, GOOD, GOOD, BAD, GOOD, GOOD, GOOD]

    async def main() -> list[Report]:
        reports = poll(scripted(answers, asked), interval=1.0, timeout=5.0, successes=3)
        return await take(reports, 5)

    said = run_virtually(main)
    assert [type(report) for report in said] == [Unhealthy, Healthy, Unhealthy, Unhealthy, Healthy]
    assert len(asked) == len(answers)


def test_failures_become_the_limit_where_a_report_has_none() -> None:
    async def main() -> list[Report]:
        probe = scripted([BAD, Unhealthy("no", limit=7)], [])
        return await take(poll(probe, interval=1.0, timeout=5.0, failures=2), 2)

    assert run_virtually(main) == [Unhealthy("no", limit=2), Unhealthy("no", limit=7)]


def test_a_probe_over_its_time_is_cancelled_and_unhealthy() -> None:
    cancelled = []

    async def probe() -> Report:
        try:
            await anyio.sleep_forever()
        except asyncio.CancelledError:
            cancelled.append(anyio.current_time())
            raise
        return GOOD

    async def main() -> tuple[float, list[Report]]:
        began = anyio.current_time()
        return began, await take(poll(probe, interval=1.0, timeout=5.0, start_timeout=2.0), 2)

    began, said = run_virtually(main)
    assert said == [Unhealthy("no answer within 2 s")] * 2
    assert [when - began for when in cancelled] == pytest.approx([2.0, 4.05])


def test_the_shorter_time_of_a_start_ends_with_the_first_healthy() -> None:
    slow = iter([0.5, 4.0, 6.0])

    async def probe() -> Report:
        await anyio.sleep(next(slow))
        return GOOD

    async def main() -> list[Report]:
        return await take(poll(probe, interval=1.0, timeout=5.0, start_timeout=2.0), 3)

    assert run_virtually(main) == [GOOD, GOOD, Unhealthy("no answer within 5 s")]


def test_what_a_probe_raises_comes_out_its_own_timeout_too() -> None:
    async def broken() -> Report:
        raise TimeoutError("its own")

    async def main() -> None:
        await take(poll(broken, interval=1.0, timeout=5.0), 1)

    with pytest.raises(TimeoutError, match="its own"):
        run_virtually(main)


def test_closing_it_between_two_probes_and_within_one_leaves_nothing() -> None:
    ended = []

    async def probe() -> Report:
        try:
            await anyio.sleep(1)
        finally:
            ended.append(anyio.current_time())
        return GOOD

    async def main() -> None:
        reports = poll(probe, interval=1.0, timeout=5.0)
        await anext(reports)
        await reports.aclose()
        with anyio.move_on_after(0.5):
            await take(poll(probe, interval=1.0, timeout=5.0), 1)
        assert len(ended) == 2
        assert len(asyncio.all_tasks()) == 1

    run_virtually(main)


async def test_a_program_that_held_up_the_loop_does_not_blame_the_server() -> None:
    asked: list[None] = []

    async def probe() -> Report:
        asked.append(None)
        if len(asked) == 1:
            await asyncio.sleep(0)
            time.sleep(0.5)  # noqa: ASYNC251 - this is the program that holds up the loop
        await asyncio.sleep(0.02)
        return GOOD

    assert await take(poll(probe, interval=1.0, timeout=0.1), 1) == [GOOD]
    assert len(asked) == 2


class Counting(selectors.DefaultSelector):
    """Counts how often the loop wakes up."""

    wakeups = 0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        self.wakeups += timeout is None or timeout > 0
        return super().select(timeout)


def test_a_healthy_server_costs_one_wakeup_for_each_interval() -> None:
    counting = Counting()

    async def main() -> int:
        async with aclosing(poll(scripted([GOOD], []), interval=0.02, timeout=5.0)) as reports:
            await anext(reports)
            before = counting.wakeups
            for _ in range(20):
                await anext(reports)
            return counting.wakeups - before

    with asyncio.Runner(loop_factory=lambda: asyncio.SelectorEventLoop(counting)) as runner:
        assert runner.run(main()) <= 22


@given(
    st.lists(st.booleans(), min_size=1, max_size=30),
    st.integers(1, 4),
    st.floats(0.05, 60.0),
)
def test_whatever_comes_the_reports_follow_from_the_answers(
    good: list[bool], successes: int, interval: float
) -> None:
    asked: list[float] = []
    expected, row = [], 0

    for one in good:
        row = row + 1 if one else 0
        expected += [one] if not one or row >= successes else []

    async def main() -> list[Report]:
        answers: list[Report] = [GOOD if one else BAD for one in good]
        reports = poll(scripted(answers, asked), interval=interval, timeout=5.0, successes=successes)
        return await take(reports, len(expected))

    said = run_virtually(main)
    assert [isinstance(report, Healthy) for report in said] == expected
    assert all(wait <= interval * 1.1 + 1e-9 for wait in waits(asked))


# -- the options that plugins inherit ------------------------------------------------------------------


@dataclass(eq=False)
class Asking(PollOptions):
    """A plugin with a required option of its own."""

    path: str = option(..., "what it asks for")

    @hookimpl
    async def health_check(self, server: ServerView) -> AsyncGenerator[Report, None]:
        async with aclosing(self.poll(scripted([GOOD], []), server)) as reports:
            async for report in reports:
                yield report


def asking(**options: object) -> PluginSpec:
    return PluginSpec("asking", options, use=f"{Asking.__module__}:{Asking.__qualname__}")


def test_inherited_options_come_after_those_of_the_plugin_itself() -> None:
    assert list(option_fields(Asking)) == ["path", "interval", "timeout", "successes", "failures"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"interval": "0s"}, "interval: must be longer than 0"),
        ({"timeout": "0s"}, "timeout: must be longer than 0"),
        ({"successes": 0}, "successes: must be 1 or more"),
        ({"failures": 0}, "failures: must be 1 or more"),
    ],
)
def test_inherited_options_are_checked(options: dict[str, object], message: str) -> None:
    assert [str(one) for one in option_problems(asking(path="/", **options))] == [message]
    assert option_problems(asking(path="/", interval="1s", failures=3)) == []


def test_a_plugin_polls_with_its_options_and_a_third_of_the_startup_timeout() -> None:
    asked: list[float] = []

    async def silent() -> Report:
        asked.append(anyio.current_time())
        await anyio.sleep_forever()
        raise AssertionError

    async def main() -> list[Report]:
        plugin = build(asking(path="/", timeout="60s", failures=4))
        assert isinstance(plugin, Asking)
        server = FakeServerContext(spec=ServerSpec(name="web", startup_timeout=9))
        return await take(plugin.poll(silent, server), 2)

    reports = run_virtually(main)
    assert reports == [Unhealthy("no answer within 3 s", limit=4)] * 2
    assert waits(asked) == pytest.approx([3.05])
