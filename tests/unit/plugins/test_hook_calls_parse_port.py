"""How plugins are asked about a line of output: the first answer, failures, hooks that are taken out."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest
from hosted_plugins import host_plugins
from hostler import (
    Endpoint,
    hookimpl,
)
from hostler.testing import FakeServerContext

SERVER = FakeServerContext("web")


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
    plugins = host_plugins(silent=silent, first=Answering(first), late=late).plugins
    assert plugins.parse_port(SERVER, "listening", "stdout") == ("first", first)
    assert (silent.asked, late.asked) == (1, 0)


def test_no_answer_is_none() -> None:
    assert host_plugins(silent=Answering(None)).plugins.parse_port(SERVER, "hello", "stderr") is None


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
    hosted = host_plugins(wrong=Answering(answer), right=Answering(right))
    assert hosted.plugins.parse_port(SERVER, "listening", "stdout") == ("right", right)
    assert [(failure.plugin, failure.hook, failure.reason) for failure in hosted.failures] == [
        ("wrong", "parse_port", reason)
    ]


def test_an_exception_that_cannot_be_shown_is_contained_and_a_long_one_is_cut() -> None:
    class Unshowable(Exception):
        def __repr__(self) -> str:
            raise RuntimeError

    hosted = host_plugins(a=Answering(Unshowable()), b=Answering(ValueError("x" * 5000)))
    hosted.plugins.parse_port(SERVER, "", "stdout")
    assert hosted.reasons[0] == "raised Unshowable"
    assert len(hosted.reasons[1]) < 400


def test_a_plugin_that_is_slow_on_a_line_is_named_and_its_answer_counts() -> None:
    endpoint = Endpoint("127.0.0.1", 80)

    def slowly(line: str) -> Endpoint:
        time.sleep(float(line))
        return endpoint

    hosted = host_plugins(slow=Answering(slowly))
    assert hosted.plugins.parse_port(SERVER, "0.1", "stdout") == ("slow", endpoint)
    assert "held up a line of output for 0." in hosted.reasons[0]
    assert hosted.failures[0].seconds > 0.05

    hosted.plugins.parse_port(SERVER, "0.06", "stdout")
    hosted.plugins.parse_port(SERVER, "0", "stdout")
    assert len(hosted.failures) == 1, "the same slowness is not told again with every line"

    hosted.plugins.parse_port(SERVER, "0.3", "stdout")
    assert len(hosted.failures) == 2
    assert hosted.plugins.stats["slow", "parse_port"].failures == 0


def test_three_failures_in_a_row_take_a_hook_out_and_this_is_told() -> None:
    wrong, right = Answering(ValueError()), Answering(None)
    hosted = host_plugins(wrong=wrong, right=right)
    for _ in range(5):
        hosted.plugins.parse_port(SERVER, "", "stdout")
    assert [failure.disabled for failure in hosted.failures] == [False, False, True]
    assert (wrong.asked, right.asked) == (3, 5)
    assert hosted.plugins.stats["wrong", "parse_port"].disabled
    assert hosted.plugins.has("parse_port")


def test_a_success_in_between_forgives() -> None:
    def moody(line: str) -> None:
        if line == "bad":
            raise ValueError

    plugin = Answering(moody)
    hosted = host_plugins(moody=plugin)

    for line in ("bad", "bad", "good", "bad", "bad", "good"):
        hosted.plugins.parse_port(SERVER, line, "stdout")

    assert plugin.asked == 6
    assert not any(failure.disabled for failure in hosted.failures)
    stats = hosted.plugins.stats["moody", "parse_port"]
    assert (stats.calls, stats.failures, stats.in_a_row) == (6, 4, 0)


async def test_one_hook_of_a_plugin_is_taken_out_and_its_others_stay() -> None:
    calls: list[str] = []

    class Half:
        @hookimpl
        def parse_port(self) -> None:
            raise ValueError

        @hookimpl
        async def on_ready(self) -> None:
            calls.append("ready")

    hosted = host_plugins(half=Half())

    for _ in range(3):
        hosted.plugins.parse_port(SERVER, "", "stdout")

    await hosted.plugins.on_ready(SERVER, None)
    assert calls == ["ready"]
