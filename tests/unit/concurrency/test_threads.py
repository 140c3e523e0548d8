"""Blocking work beside the loop, also where no thread can be had."""

from __future__ import annotations

import subprocess
import sys
import threading

import pytest
from hostler.concurrency.threads import run_in_thread


@pytest.fixture
def no_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    """No more threads: that limit stops the whole program, and root never."""

    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)


def fail() -> None:
    raise StopIteration("no more")


async def test_the_work_is_done_on_a_thread_of_its_own() -> None:
    assert await run_in_thread(threading.current_thread) is not threading.current_thread()


@pytest.mark.usefixtures("no_threads")
@pytest.mark.parametrize("abandon", [False, True])
async def test_without_a_thread_the_work_is_done_here(abandon: bool) -> None:
    assert (
        await run_in_thread(threading.current_thread, abandon_on_cancel=abandon) is threading.current_thread()
    )
    assert await run_in_thread(max, 1, 2, abandon_on_cancel=abandon) == 2


@pytest.mark.usefixtures("no_threads")
async def test_what_the_work_raises_comes_out_without_a_thread_too() -> None:
    with pytest.raises(ZeroDivisionError):
        await run_in_thread(divmod, 1, 0)
    with pytest.raises(RuntimeError, match="no more"):
        await run_in_thread(fail)


PROGRAM = """
import asyncio, time
from hostler.concurrency.threads import run_in_thread

def work():
    begun.set()
    time.sleep(0.5)
    print("done", flush=True)

async def main():
    task = asyncio.create_task(run_in_thread(work, abandon_on_cancel=True, daemon=%s))
    await asyncio.to_thread(begun.wait)
    task.cancel()

import threading
begun = threading.Event()
asyncio.run(main())
"""


@pytest.mark.parametrize(("outlive", "said"), [(True, ""), (False, "done\n")])
def test_the_end_of_the_program_waits_only_for_what_must_not_outlive_it(outlive: bool, said: str) -> None:
    call = [sys.executable, "-c", PROGRAM % outlive]
    done = subprocess.run(call, capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == said
