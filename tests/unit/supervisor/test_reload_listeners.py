"""A reload replaces the listeners of the file that have changed; no event is lost meanwhile."""

from __future__ import annotations

import json
from pathlib import Path

import anyio
import pytest
from hostler import (
    Change,
    Changes,
    Directories,
    Event,
    InvalidConfiguration,
    ListenerChanges,
    Notice,
    PluginError,
    Supervisor,
    load,
)
from hostler.cli.reload import lines

CLASS = """
from dataclasses import dataclass
import json

from hostler import option


@dataclass(eq=False)
class Writer:
    path: str = option(..., "where to")
    url: str = option("", "who", secret=True)
    word: str = option("", "what is said of each")

    def __post_init__(self):
        if self.word == "refused":
            raise ValueError("word: not this one")

    async def listen(self, events, context):
        with open(self.path, "a") as file:
            async for event in events:
                if event.kind == "notice":
                    print(json.dumps([event.topic, event.text, self.word]), file=file, flush=True)
"""


class Project:
    """A configuration with listeners that write what they get, each to a file of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.write_class(CLASS)

    def write_class(self, text: str) -> None:
        (self.folder / "my.py").write_text(text)

    def configure(self, **listeners: str) -> Path:
        text = "[servers.web]\ncommand = ['sleep', '1000']\nport = false\n"
        for name, more in listeners.items():
            text += f"[listeners.{name}]\nuse = 'my.py:Writer'\npath = '{self.folder}/{name}'\n{more}\n"
        (self.folder / "hostler.toml").write_text(text)
        return self.folder / "hostler.toml"

    def got(self, name: str) -> list[list[str]]:
        """The topic and the text of each notice that a listener got, and its word."""
        return [json.loads(line) for line in (self.folder / name).read_text().splitlines()]


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path)


async def test_only_what_has_changed_begins_anew_and_misses_nothing(
    project: Project, directories: Directories
) -> None:
    file, told = project.configure(same="", gone="", changed="word = 'old'"), list[Event]()
    supervisor = Supervisor(file, directories=directories)
    supervisor.listen(told.append)
    async with supervisor:
        await supervisor.wait_ready(timeout=20)
        number = 0
        for _ in range(3):
            supervisor["web"]._engine.notice("number", str(number := number + 1))
        project.configure(same="", changed="word = 'new'", more="")
        expected = ListenerChanges(
            added=("more",), removed=("gone",), changed={"changed": (Change("word", "old", "new"),)}
        )
        assert supervisor.changes(file).listeners == expected
        changes = await supervisor.reload(file)
        assert changes
        assert (changes.listeners, changes.unchanged) == (expected, ("web",))
        for _ in range(3):
            supervisor["web"]._engine.notice("number", str(number := number + 1))
    numbers = {
        name: [(text, word) for topic, text, word in project.got(name) if topic == "number"]
        for name in ("same", "gone", "changed", "more")
    }
    assert numbers == {
        "same": [(str(one), "") for one in range(1, 7)],
        "gone": [(str(one), "") for one in range(1, 4)],
        "changed": [(str(one), "old" if one < 4 else "new") for one in range(1, 7)],
        "more": [(str(one), "") for one in range(4, 7)],
    }
    topics = [one for one in told if isinstance(one, Notice) and one.topic.startswith("listener_")]
    assert [(one.topic, one.text) for one in topics] == [
        ("listener_removed", "removed"),
        ("listener_changed", "changed: word"),
        ("listener_added", "added"),
    ]


async def test_an_edited_class_is_a_change_and_a_secret_is_not_shown(
    project: Project, directories: Directories
) -> None:
    file = project.configure(one="url = 'https://h.example/T0K3N-of-a-channel'")
    async with Supervisor(file, directories=directories) as supervisor:
        assert not await supervisor.reload(file)
        project.write_class(CLASS.replace("self.word]", "'edited']"))
        changes = await supervisor.reload(file)
        use = f"{project.folder}/my.py:Writer"
        assert changes.listeners.changed == {"one": (Change("use", use, f"{use} (edited)"),)}
        supervisor["web"]._engine.notice("number", "1")
        project.configure(one="url = 'https://h.example/0ther-of-a-channel'")
        (change,) = (await supervisor.reload(file)).listeners.changed["one"]
        assert str(change) == "url: https://h.example/******** -> https://h.example/********"
    assert ["number", "1", "edited"] in project.got("one")


async def test_a_listener_that_cannot_be_made_changes_nothing(
    project: Project, directories: Directories
) -> None:
    file = project.configure(one="")
    configuration = load(file)
    spec = configuration.listeners["one"]
    async with Supervisor(configuration, directories=directories) as supervisor:
        project.configure(one="word = 'refused'", two="")
        with pytest.raises(InvalidConfiguration, match="not this one"):
            await supervisor.reload(file)
        for options in ({"word": "refused"}, {"word": "${"}, {"word": "${NO_SUCH_VARIABLE}"}):
            wrong = type(spec)("one", {**spec.options, **options}, spec.use)
            listeners = type(configuration)(configuration.servers, listeners={"one": wrong})
            with pytest.raises(PluginError, match="one"):
                await supervisor.reload(listeners)
        supervisor["web"]._engine.notice("number", "1")
    assert ["number", "1", ""] in project.got("one")
    assert not (project.folder / "two").exists()


async def test_one_that_goes_on_after_its_end_does_not_hold_up_the_reload(
    project: Project, directories: Directories
) -> None:
    project.write_class(CLASS + "        import anyio\n        await anyio.sleep(1000)\n")
    file = project.configure(one="")
    with anyio.fail_after(20):
        async with Supervisor(file, directories=directories) as supervisor:
            await supervisor.reload(project.configure())


def test_the_plan_tells_of_listeners() -> None:
    change = Change("word", "old", "new")
    listeners = ListenerChanges(("more",), ("gone",), {"changed": (change,)})
    assert list(lines(Changes(unchanged=("web",), listeners=listeners))) == [
        "reload:",
        "  listener gone: removed",
        "  listener changed: begins anew",
        "    word: old -> new",
        "  listener more: added",
        "  unchanged: web",
    ]
