"""Blocking calls off the event loop, each on a thread that ends with the call."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any, TypeVar

import anyio

T = TypeVar("T")
THREAD_NAME = "hostler-blocking"


async def run_in_thread(
    function: Callable[..., T], *arguments: Any, abandon_on_cancel: bool = False, daemon: bool = True
) -> T:
    """Call `function` on a thread of its own and return what it does; its errors pass through.

    A cancel scope waits for it, unless `abandon_on_cancel`; so does the end of the program with `daemon`
    false. Where no thread can be started, the call is made right here.
    """
    # No worker of a pool: a pool's idle threads would outlive us, and hold up the end of a program whose loop
    # was torn down. And no daemon for imports: Python may crash when it is taken to pieces within one.
    loop = asyncio.get_running_loop()
    future: asyncio.Future[T] = loop.create_future()

    def work() -> None:
        try:
            result = function(*arguments)
        except StopIteration as error:  # which no future takes
            settle(future.set_exception, RuntimeError(f"raised {error!r}"))
        except BaseException as error:  # noqa: BLE001 - raised where it is awaited
            settle(future.set_exception, error)
        else:
            settle(future.set_result, result)

    def settle(setter: Callable[[Any], None], value: Any) -> None:
        with suppress(RuntimeError):  # the loop is closed: nobody waits any more
            loop.call_soon_threadsafe(lambda: None if future.done() else setter(value))

    try:
        threading.Thread(target=work, name=THREAD_NAME, daemon=daemon).start()
    except RuntimeError:  # too many processes, or the interpreter is about to end
        work()

    with anyio.CancelScope(shield=not abandon_on_cancel):
        await future

    return future.result()
