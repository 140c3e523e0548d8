"""What goes on beyond a run: work that plugins began, and what can bring a failed server back."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

from hostler.concurrency.tasks import TaskSet


class ServerTasks:
    """The lasting work of one server's plugins."""

    def __init__(self) -> None:
        self._tasks = TaskSet()
        self._hopes: list[str] = []

    @property
    def hope(self) -> str:
        """What brings the server back when it has failed, in words; "" when nothing does."""
        return self._hopes[0] if self._hopes else ""

    def start(self, work: Coroutine[Any, Any, None], hope: str, on_lost: Callable[[], None]) -> None:
        """Run it over restarts; as long as it runs there is this hope, and `on_lost` is called after it."""
        self._tasks.start(self._hoping(work, hope, on_lost) if hope else work, "a plugin's lasting task")

    def end(self) -> None:
        """Cancel all of it, without waiting; the next start begins with nothing."""
        tasks, self._tasks, self._hopes = self._tasks, TaskSet(), []
        tasks.cancel()

    async def _hoping(self, work: Coroutine[Any, Any, None], hope: str, on_lost: Callable[[], None]) -> None:
        hopes = self._hopes
        hopes.append(hope)

        try:
            await work
        finally:
            hopes.remove(hope)
            on_lost()
