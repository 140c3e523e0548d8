"""Servers whose plugin tells what runs on them."""

from __future__ import annotations

import anyio
from hostler import Launch, PluginSpec, hookimpl
from specs import announced


class Tells:
    """A launcher that puts what it knows into the facts; `asked` is set at each question."""

    def __init__(self, fact: str, answer: object) -> None:
        self.fact, self.answer = fact, answer
        self.asked = anyio.Event()

    @hookimpl
    async def pre_spawn(self, launch: Launch) -> None:
        async def what_runs() -> object:
            return self.is_idle()

        launch.facts[self.fact] = {"what_runs": what_runs, "is_idle": self.is_idle}.get(self.fact)

    def is_idle(self) -> object:
        self.asked.set()
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer

    @property
    def plugins(self) -> tuple[PluginSpec, ...]:
        """The plugins of a server with this one."""
        return (announced(), PluginSpec("tells", instance=self))


def busy() -> Tells:
    """One on which a job runs."""
    return Tells("what_runs", ["job"])
