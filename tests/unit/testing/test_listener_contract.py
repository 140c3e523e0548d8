"""What a class promises by being a listener, and the context that it is tested with."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass

import anyio
import pytest
from hostler import Event, ListenerContext, ListenerSpec, Notice, Secret
from hostler.plugins.discovery import find_class
from hostler.testing import FakeListenerContext, assert_plugin_contract
from hostler.testing.conformance import check_contract, listener_checks

LISTENERS = '''
"""Listeners that keep their promises, and some that do not."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from dataclasses import dataclass

import anyio
from hostler import Event, ListenerContext, Secret, option


@dataclass
class Good:
    """Counts events."""

    word: str = option("x", "a word")

    async def listen(self, events: AsyncIterator[Event], context: ListenerContext) -> None:
        number = len([event async for event in events])
        context.notice("counted", f"{number} {self.word}")


@dataclass
class Raises:
    """Raises at its first event."""

    async def listen(self, events: AsyncIterator[Event], context: ListenerContext) -> None:
        await anext(events)
        raise OSError("no")


@dataclass
class Blocks:
    """Keeps the event loop to itself."""

    async def listen(self, events: AsyncIterator[Event], context: ListenerContext) -> None:
        await anext(events)
        time.sleep(1.1)


@dataclass
class Swallows:
    """Resists its end."""

    async def listen(self, events: AsyncIterator[Event], context: ListenerContext) -> None:
        with anyio.move_on_after(2.0) as scope:
            while not scope.cancel_called:
                try:
                    await anyio.sleep(1000)
                except anyio.get_cancelled_exc_class():
                    scope.shield = True


@dataclass
class Lingers:
    """Goes on after its last event."""

    async def listen(self, events: AsyncIterator[Event], context: ListenerContext) -> None:
        await anyio.sleep(1000)


@dataclass
class Misnamed:
    """Wants what there is not."""

    async def listen(self, event: AsyncIterator[Event], context: ListenerContext) -> None: ...


@dataclass
class NeedsSecret:
    """Reads what is not there."""

    async def listen(self, events: AsyncIterator[Event], context: ListenerContext) -> None:
        context.read_secret(Secret("env:NO_SUCH_VARIABLE"))


@dataclass
class Synchronous:
    """Is no coroutine."""

    def listen(self, events: AsyncIterator[Event], context: ListenerContext) -> None: ...


class Plain:
    async def listen(self, events: AsyncIterator[Event], context: ListenerContext) -> None: ...
'''


@pytest.fixture(scope="module")
def class_of(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], type]:
    """The classes above: a module that is imported for the check and for nothing else."""
    file = tmp_path_factory.mktemp("listeners") / "listeners.py"
    file.write_text(LISTENERS)
    return lambda name: find_class(ListenerSpec("mine", use=f"{file}:{name}"))


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listener_checks, "_LAST", 0.1)


def test_a_listener_that_keeps_its_promises_conforms(class_of: Callable[[str], type]) -> None:
    assert_plugin_contract(class_of("Good"))
    findings = check_contract(class_of("Good"))
    assert (findings.breaches, findings.notes) == ([], [])


@pytest.mark.parametrize(
    ("name", "what"),
    [
        ("Raises", r"raises OSError\('no'\)"),
        ("Blocks", r"blocks the event loop for 1\.\d s"),
        ("Misnamed", r'"listen" has an unknown argument "event"; did you mean "events"\?'),
        ("Synchronous", r'it has no "async def listen\(self, events, context\)"'),
        ("Plain", "is no dataclass"),
    ],
)
def test_a_breach_is_told_with_its_place(class_of: Callable[[str], type], name: str, what: str) -> None:
    with pytest.raises(AssertionError, match=rf"listeners.py:\d+ {name}.*{what}"):
        assert_plugin_contract(class_of(name))


@pytest.mark.usefixtures("short")
def test_one_that_swallows_its_end_is_a_breach_and_one_that_lingers_is_noted(
    class_of: Callable[[str], type],
) -> None:
    assert [breach.what for breach in check_contract(class_of("Swallows")).breaches] == [
        "swallows its cancellation, and goes on"
    ]
    (note,) = check_contract(class_of("Lingers")).notes
    assert note.endswith("it was at work for 0.1 s after its last event, and was cancelled then")
    (note,) = check_contract(class_of("NeedsSecret")).notes
    assert "it refused to begin here (cannot read secret env:NO_SUCH_VARIABLE" in note


async def test_the_context_keeps_what_a_listener_does(
    class_of: Callable[[str], type], monkeypatch: pytest.MonkeyPatch
) -> None:
    context = FakeListenerContext(environ={"TOKEN": "sesame"})
    events = [Notice(server="web", generation=1, topic="any", text=str(number)) for number in range(3)]
    await context.run(class_of("Good")(), events)
    assert [(one.topic, one.text, one.level) for one in context.notices] == [("counted", "3 x", "info")]
    assert context.read_secret(Secret("env:TOKEN")) == "sesame"
    assert context.redacted == ["sesame"]
    monkeypatch.setattr("hostler.testing.fake_listener_context.Patience", Patience)
    with pytest.raises(TimeoutError, match="TakesAll went on for 5 s after its last event"):
        await context.run(TakesAll(), events)


@dataclass
class Patience:
    last: float = 0.05


class TakesAll:
    async def listen(self, events: AsyncIterator[Event], context: ListenerContext) -> None:
        async for _ in events:
            pass
        await anyio.sleep(1000)
