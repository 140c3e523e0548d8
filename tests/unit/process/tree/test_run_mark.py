import os
import resource
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import Any
from uuid import uuid4

import anyio
import pytest
from hostler.process.tree.members import find_tree
from hostler.process.tree.run_mark import (
    OUTPUT_THREAD_NAME,
    lent_mark,
    limit_mark,
    mark_option,
    mark_process,
    read_mark,
)
from hostler.process.tree.terminate import kill_leftovers, stop_tree

Start = Callable[..., Any]
Gone = Callable[[int], bool]

pytestmark = pytest.mark.skipif(not mark_option("", ()), reason="the system has no limit to mark with")

HIDES = 'env -i setsid -f sh -c "echo \\$\\$; exec sleep 60"; exec sleep 60'


def test_marks_differ_and_limit_nobody() -> None:
    numbers = {limit_mark(uuid4().hex) for _ in range(1000)}
    assert len(numbers) == 1000
    assert min(numbers) >= 1 << 62
    assert max(numbers) < 1 << 63


@pytest.mark.parametrize("way", ["lent", "prlimit", "without prlimit"])
async def test_who_drops_everything_else_is_found_and_ended(
    start: Start, gone: Gone, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    monkeypatch.setattr("hostler.process.spawn.spawn.may_lend", lambda: way == "lent")
    if way == "without prlimit":
        monkeypatch.setattr("hostler.process.spawn.privileges._find_tool", lambda _: None)
    child = start("sh", "-c", "sleep 0.2; " + HIDES)
    hidden = int(await child.line())
    assert hidden in [member.pid for member in find_tree(child.process)]
    assert await stop_tree(child.process, grace=5) == ()
    assert gone(hidden)


def test_our_own_limit_is_lent_for_the_spawn_alone_and_only_where_nobody_else_starts_children() -> None:
    own = resource.getrlimit(resource.RLIMIT_RTTIME)
    with suppress(ValueError), lent_mark("a"):
        assert read_mark(os.getpid()) == limit_mark("a")
        raise ValueError
    assert resource.getrlimit(resource.RLIMIT_RTTIME) == own
    assert lends_beside(OUTPUT_THREAD_NAME)
    assert not lends_beside("somebody")


def lends_beside(name: str) -> bool:
    """Asked by a program of its own: that of the tests has threads."""
    code = (
        "import sys, threading\n"
        "from hostler.process.tree.run_mark import may_lend\n"
        "threading.Thread(target=threading.Event().wait, name=sys.argv[1], daemon=True).start()\n"
        "print(may_lend())"
    )
    done = subprocess.run([sys.executable, "-c", code, name], capture_output=True, text=True, check=True)
    return done.stdout == "True\n"


async def test_a_worker_that_waits_for_our_work_starts_no_children() -> None:
    code = (
        "import anyio, threading\n"
        "from hostler.process.tree.run_mark import may_lend\n"
        "async def main():\n"
        "    go = threading.Event()\n"
        "    async with anyio.create_task_group() as tasks:\n"
        "        tasks.start_soon(anyio.to_thread.run_sync, go.wait)\n"
        "        await anyio.wait_all_tasks_blocked()\n"
        "        print(may_lend())\n"
        "        go.set()\n"
        "    print(may_lend())\n"
        "anyio.run(main)"
    )
    done = await anyio.run_process([sys.executable, "-c", code])
    assert done.stdout.split() == [b"False", b"True"]


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
    assert bool(mark_option("a", ())) is marked
    assert mark_option("a", {"rttime"}) == ""


def test_a_system_that_refuses_to_set_it_is_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise ValueError

    monkeypatch.setattr(resource, "setrlimit", refuse)
    assert mark_option("a", ()) == ""
