import resource
import subprocess
import sys
from collections.abc import Callable
from typing import Any
from uuid import uuid4

import pytest
from hostler.process.tree.limit_mark import limit_mark, mark_process, may_mark, read_mark
from hostler.process.tree.terminate import find_tree, kill_leftovers, stop_tree

Start = Callable[..., Any]
Gone = Callable[[int], bool]

pytestmark = pytest.mark.skipif(not may_mark(), reason="the system has no limit to mark with")

HIDES = 'env -i setsid -f sh -c "echo \\$\\$; exec sleep 60"; exec sleep 60'


def test_marks_differ_and_limit_nobody() -> None:
    numbers = {limit_mark(uuid4().hex) for _ in range(1000)}
    assert len(numbers) == 1000
    assert min(numbers) >= 1 << 62
    assert max(numbers) < 1 << 63


async def test_who_drops_everything_else_is_found_and_ended(start: Start, gone: Gone) -> None:
    child = start("sh", "-c", HIDES)
    hidden = int(await child.line())
    assert hidden in [member.pid for member in find_tree(child.process)]
    assert await stop_tree(child.process, grace=5) == ()
    assert gone(hidden)


async def test_what_was_started_before_the_mark_could_be_set_is_marked_too(
    start: Start, gone: Gone, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hostler.process.spawn.spawn.mark_process", lambda *_: None)  # a machine that is busy
    child = start("sh", "-c", "sleep 60 & echo $!; wait")
    started = int(await child.line())
    mark_process(child.process.pid, child.process.run_id)
    assert read_mark(started) == limit_mark(child.process.run_id)
    assert await stop_tree(child.process, grace=5) == ()
    assert gone(started)


async def test_a_later_hostler_finds_it_by_the_mark_alone(start: Start, gone: Gone) -> None:
    child = start("sh", "-c", HIDES)
    hidden = int(await child.line())
    assert read_mark(hidden) == limit_mark(child.process.run_id)
    assert kill_leftovers(child.process.run_id) == (hidden,)
    assert gone(hidden)
    assert await stop_tree(child.process, grace=5) == ()


def test_the_mark_of_another_users_process_is_read_too(monkeypatch: pytest.MonkeyPatch) -> None:
    with subprocess.Popen(["sleep", "60"]) as child:
        mark_process(child.pid, "a")

        def refuse(*_: object) -> None:
            raise PermissionError

        monkeypatch.setattr(resource, "prlimit", refuse)
        assert read_mark(child.pid) == limit_mark("a")
        child.kill()


def test_a_process_without_a_mark_has_none() -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        kind, hard = resource.RLIMIT_RTTIME, resource.prlimit(child.pid, resource.RLIMIT_RTTIME)[1]
        resource.prlimit(child.pid, kind, (200_000, hard))
        assert read_mark(child.pid) == 0

    assert read_mark(child.pid) == 0


@pytest.mark.parametrize(
    ("own", "marked"),
    [((-1, -1), True), ((1 << 62, -1), True), ((200_000, -1), False), ((200_000, 200_000), False)],
)
def test_who_limits_that_time_already_is_left_alone(
    monkeypatch: pytest.MonkeyPatch, own: tuple[int, int], marked: bool
) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _: own)
    monkeypatch.setattr(resource, "setrlimit", lambda *_: None)
    assert may_mark() is marked
    assert not may_mark({"rttime"})


def test_a_system_that_refuses_to_set_it_is_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise ValueError

    monkeypatch.setattr(resource, "setrlimit", refuse)
    assert not may_mark()
