"""Bounded streams: whoever is slow loses the oldest and is told; nobody is ever blocked."""

from __future__ import annotations

import gc

import anyio
import pytest
from hostler.concurrency.broadcast import Broadcast, Marks, Subscription
from hostler.concurrency.mailbox import Mailbox


async def all_of(subscription: Subscription[str]) -> list[str]:
    with anyio.fail_after(5):
        return [item async for item in subscription]


def lost(count: int) -> str:
    return f"{count} lost"


async def test_every_listener_gets_everything_in_order() -> None:
    channel: Broadcast[str] = Broadcast()
    first, second = channel.subscribe(), channel.subscribe()
    for item in "abc":
        channel.publish(item)
    channel.close()
    assert await all_of(first) == await all_of(second) == ["a", "b", "c"]


async def test_a_slow_listener_loses_the_oldest_and_learns_how_many() -> None:
    channel: Broadcast[str] = Broadcast(limit=3, gap=lost)
    slow = channel.subscribe()
    for number in range(10):
        channel.publish(str(number))
    channel.close()
    assert await all_of(slow) == ["7 lost", "7", "8", "9"]


async def test_marked_items_carry_the_number_of_those_lost_before_them() -> None:
    marks: Marks[tuple[str, int]] = Marks(lambda item: item[1], lambda item, lost: (item[0], lost))
    channel: Broadcast[tuple[str, int]] = Broadcast(marks=marks)
    slow, prompt = channel.subscribe(2), channel.subscribe()
    for item in (("a", 0), ("b", 5), ("c", 0), ("d", 7)):
        channel.publish(item)
    channel.close()
    assert [item async for item in slow] == [("c", 7), ("d", 7)]
    assert [item async for item in prompt] == [("a", 0), ("b", 5), ("c", 0), ("d", 7)]


async def test_large_items_are_bounded_by_their_size_and_one_that_is_larger_still_arrives() -> None:
    channel: Broadcast[str] = Broadcast(gap=lost, weigh=len)
    slow, prompt = channel.subscribe(), channel.subscribe()
    large = "x" * (20 << 20)
    for item in (large, "small", "small"):
        channel.publish(item)

    assert [await anext(prompt) for _ in range(3)] == [large, "small", "small"]

    for _ in range(100):
        channel.publish("x" * (4 << 20))

    channel.close()
    taken = await all_of(slow)
    assert taken[0].endswith("lost")
    assert len(taken) == 1 + 6  # the oldest, 16 MiB, the newest
    assert int(taken[0].split()[0]) == 3 + 100 - 6


async def test_two_gaps_are_reported_one_by_one() -> None:
    channel: Broadcast[str] = Broadcast(limit=1, gap=lost)
    slow = channel.subscribe()
    channel.publish("a")
    channel.publish("b")
    assert [await anext(slow), await anext(slow)] == ["1 lost", "b"]
    for item in "cde":
        channel.publish(item)
    assert [await anext(slow), await anext(slow)] == ["2 lost", "e"]


async def test_a_channel_without_a_mark_drops_silently() -> None:
    channel: Broadcast[str] = Broadcast(limit=2)
    slow = channel.subscribe()
    for item in "abcd":
        channel.publish(item)
    channel.close()
    assert await all_of(slow) == ["c", "d"]


async def test_a_late_listener_hears_from_then_on() -> None:
    channel: Broadcast[str] = Broadcast()
    channel.publish("before")
    late = channel.subscribe()
    channel.publish("after")
    channel.close()
    assert await all_of(late) == ["after"]


async def test_a_closed_channel_ends_those_who_come_later() -> None:
    channel: Broadcast[str] = Broadcast()
    channel.close()
    assert await all_of(channel.subscribe()) == []


async def test_a_waiting_listener_is_woken_by_an_item_and_by_the_end() -> None:
    channel: Broadcast[str] = Broadcast()
    subscription = channel.subscribe()
    heard: list[str] = []

    async def listen() -> None:
        heard.extend(await all_of(subscription))

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(listen)
        await anyio.wait_all_tasks_blocked()
        channel.publish("a")
        await anyio.wait_all_tasks_blocked()
        channel.close()

    assert heard == ["a"]


async def test_two_readers_of_one_subscription_share_it_and_both_end() -> None:
    channel: Broadcast[str] = Broadcast()
    subscription = channel.subscribe()
    heard: list[str] = []

    async def listen() -> None:
        heard.extend(await all_of(subscription))

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(listen)
        tasks.start_soon(listen)
        await anyio.wait_all_tasks_blocked()
        channel.publish("a")
        channel.publish("b")
        await anyio.wait_all_tasks_blocked()
        channel.close()

    assert sorted(heard) == ["a", "b"]


async def test_a_closed_subscription_gives_out_what_it_has_and_takes_no_more() -> None:
    channel: Broadcast[str] = Broadcast()
    subscription = channel.subscribe()
    channel.publish("a")
    subscription.close()
    channel.publish("b")
    assert await all_of(subscription) == ["a"]


async def test_a_subscription_that_nobody_holds_is_forgotten() -> None:
    channel: Broadcast[str] = Broadcast()
    subscription = channel.subscribe()
    assert channel.followed
    del subscription
    gc.collect()
    assert not channel.followed


async def test_an_inbox_keeps_the_order_and_obeys_the_deadline() -> None:
    inbox: Mailbox[str] = Mailbox()
    inbox.post("a")
    inbox.post("b")
    assert [await inbox.take(), await inbox.take()] == ["a", "b"]
    assert await inbox.take(anyio.current_time() + 0.01) is None

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(_post_later, inbox)
        with anyio.fail_after(5):
            assert await inbox.take() == "late"


async def test_an_inbox_tells_its_listener_of_what_comes_meanwhile() -> None:
    inbox: Mailbox[str] = Mailbox()
    heard: list[str] = []
    with inbox.heard_by(lambda: heard.append("came")):
        inbox.post("a")
    inbox.post("b")
    assert heard == ["came"]
    assert [await inbox.take(), await inbox.take()] == ["a", "b"]


async def _post_later(inbox: Mailbox[str]) -> None:
    await anyio.wait_all_tasks_blocked()
    inbox.post("late")


@pytest.mark.parametrize("limit", [1, 2, 1024])
async def test_memory_is_bounded_by_the_limit(limit: int) -> None:
    channel: Broadcast[str] = Broadcast(limit=limit)
    slow = channel.subscribe()
    for number in range(5000):
        channel.publish(str(number))
    channel.close()
    assert len(await all_of(slow)) == limit
