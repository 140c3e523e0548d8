"""The hooks of a class are looked up once, and those of an object that has its own are still found."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from hostler import PluginSpec, hookimpl
from hostler.plugins.host import PluginHost


class Looked(type):
    """The class of classes that count how often somebody looks through them."""

    looks = 0

    def __dir__(cls) -> Iterable[str]:
        Looked.looks += 1
        return super().__dir__()


@dataclass(eq=False)
class Often(metaclass=Looked):
    @hookimpl
    async def on_ready(self) -> None: ...


@dataclass(eq=False)
class Chosen:
    loud: bool

    def __post_init__(self) -> None:
        if self.loud:
            self.on_shutdown = say

    @hookimpl
    async def on_ready(self) -> None: ...


@hookimpl
async def say(reason: str) -> None: ...


def host(class_: type, **options: object) -> PluginHost:
    spec = PluginSpec("mine", options, use=f"{__name__}:{class_.__qualname__}")
    return PluginHost([spec], on_failure=lambda failure: None)


def test_a_class_is_looked_through_for_its_first_server_only() -> None:
    host(Often)
    before = Looked.looks
    hosts = [host(Often) for _ in range(3)]
    assert Looked.looks == before
    assert all(one.has("on_ready") for one in hosts)


def test_an_object_may_have_hooks_that_others_of_its_class_have_not() -> None:
    found = [host(Chosen, loud=loud).has("on_shutdown") for loud in (False, True, False)]
    assert found == [False, True, False]
