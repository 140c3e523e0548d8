"""A flag: all who wait go on when it is set, also when one of them was cancelled before."""

from __future__ import annotations

import asyncio

import anyio
from hostler.concurrency.flag import Flag


async def test_all_who_wait_go_on_and_one_that_was_cancelled_is_forgotten() -> None:
    flag = Flag()
    waiting = [asyncio.ensure_future(flag.wait()) for _ in range(3)]
    await asyncio.sleep(0)
    waiting[1].cancel()
    flag.set()  # the cancelled one has not seen its cancellation yet
    flag.set()
    await asyncio.wait_for(asyncio.wait(waiting), 5)
    assert [task.cancelled() for task in waiting] == [False, True, False]
    assert flag.is_set()


async def test_it_can_be_cleared_and_a_timeout_leaves_nobody_behind() -> None:
    flag = Flag()
    flag.set()
    await flag.wait()
    flag.clear()
    with anyio.move_on_after(0.01) as scope:
        await flag.wait()
    assert scope.cancelled_caught
    assert not flag.is_set()
    flag.set()
    with anyio.fail_after(5):
        await flag.wait()


async def test_who_is_notified_hears_of_it_once_and_nothing_after_the_end() -> None:
    flag, heard = Flag(), list[str]()
    flag.notify(lambda: heard.append("first"))
    flag.notify(lambda: heard.append("second"))()
    flag.set()
    flag.set()
    await flag.wait()
    await asyncio.sleep(0)
    assert heard == ["first"]
