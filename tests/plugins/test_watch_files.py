"""The plugin watch-files, with real files and a real server."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import MakeSpec, announced
from hostler import Directories, Event, Notice, PluginError, PluginSpec, Server, Supervisor
from hostler.inspection import Inspector
from hostler.model import Configuration
from hostler.plugins import build

Keep = Callable[..., Supervisor]
DEADLINE = 20


@pytest.fixture
def events() -> list[Event]:
    return []


@pytest.fixture
def app(tmp_path: Path) -> Path:
    folder = tmp_path / "app"
    (folder / "node_modules").mkdir(parents=True)
    (folder / "main.py").write_text("1")
    return folder


@pytest.fixture
def keep(make_spec: MakeSpec, directories: Directories, events: list[Event], app: Path) -> Keep:
    def keep_with(*switches: str, **options: object) -> Supervisor:
        given = {"debounce": "20ms", **options}
        plugins = (announced(), PluginSpec("watch-files", given))
        supervisor = Supervisor(make_spec(*switches, plugins=plugins, cwd=app), directories=directories)
        supervisor.listen(events.append)
        return supervisor

    return keep_with


def told(events: list[Event], topic: str) -> list[str]:
    return [event.text for event in events if isinstance(event, Notice) and event.topic == topic]


async def watched(server: Server, events: list[Event], app: Path, generation: int = 1) -> None:
    """Wait until changes are seen: nobody tells when the watch has begun, so files are written until then."""
    await server.wait_ready(DEADLINE)
    number = 0

    while server.generation == generation and not told(events, "files_changed"):
        number += 1
        (app / "begun").write_text(str(number))
        await asyncio.sleep(0.05)


async def test_a_change_restarts_the_server_in_order(keep: Keep, events: list[Event], app: Path) -> None:
    async with asyncio.timeout(DEADLINE), keep() as supervisor:
        server = supervisor["fake"]
        await watched(server, events, app)
        await server.until(lambda: server.generation >= 2)
        await server.wait_ready(DEADLINE)
        assert server.restarts == 0

    assert told(events, "restart_asked")[0] == "a plugin asks for a restart: begun changed"


async def test_only_what_counts_restarts_it(keep: Keep, events: list[Event], app: Path) -> None:
    async with asyncio.timeout(DEADLINE), keep(patterns=["*.py"], ignore=["gen", "skip.py"]) as supervisor:
        server = supervisor["fake"]
        await server.wait_ready(DEADLINE)
        (app / "gen").mkdir()
        number = 0

        while server.generation == 1:
            number += 1

            for name in ("node_modules/x.py", "gen/y.py", "skip.py", "notes.txt", ".x.py.swp", "main.py"):
                (app / name).write_text(str(number))

            await asyncio.sleep(0.05)

        await server.wait_ready(DEADLINE)

    assert set(told(events, "restart_asked")) == {"a plugin asks for a restart: main.py changed"}


async def test_a_signal_may_be_sent_instead(keep: Keep, events: list[Event], app: Path) -> None:
    async with asyncio.timeout(DEADLINE), keep(action="SIGUSR2", paths=["."]) as supervisor:
        server = supervisor["fake"]
        await watched(server, events, app)
        await server.until(lambda: server.generation >= 2)  # it knows no better than to die of SIGUSR2
        assert server.crashes[0].signal == signal.SIGUSR2

    assert told(events, "files_changed")[0] == "begun changed: SIGUSR2 is sent"


async def test_a_server_that_changes_its_own_files_is_not_restarted_without_end(
    keep: Keep, events: list[Event], app: Path
) -> None:
    async with asyncio.timeout(60), keep() as supervisor:
        server = supervisor["fake"]
        number = 0

        while not told(events, "watch_ended"):
            number += 1
            (app / "state").write_text(str(number))
            await asyncio.sleep(0.03)

        await server.wait_ready(DEADLINE)
        before = server.generation
        (app / "state").write_text("again")
        assert before <= 12

    (text,) = told(events, "watch_ended")
    assert text.startswith("state: 10 changes within 60 s, so files are watched no more")


async def test_what_is_not_there_is_told_and_the_rest_is_watched(
    keep: Keep, events: list[Event], app: Path
) -> None:
    async with asyncio.timeout(DEADLINE), keep(paths=["gone", "."]) as supervisor:
        server = supervisor["fake"]
        await watched(server, events, app)
        await server.until(lambda: server.generation >= 2)

    assert told(events, "watch_missing")[0] == f"there is nothing to watch at {app / 'gone'}"


async def test_nothing_to_watch_is_no_reason_not_to_start(keep: Keep, events: list[Event]) -> None:
    async with keep(paths=["gone"]) as supervisor:
        await supervisor["fake"].wait_ready(DEADLINE)

    assert len(told(events, "watch_missing")) == 1


def test_check_finds_what_is_not_there(make_spec: MakeSpec, directories: Directories, app: Path) -> None:
    spec = make_spec(plugins=(PluginSpec("watch-files", {"paths": ["gone", "main.py"]}),), cwd=app)
    (seen,) = Inspector(Configuration({"fake": spec}), directories, {}).observations()
    assert seen.key == "servers.fake.plugins.watch-files.paths"
    assert seen.message == f"there is nothing to watch at {app / 'gone'}"


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"paths": []}, "paths: expected at least one"),
        ({"debounce": "0s"}, "debounce: expected more than 0"),
        ({"action": "SIGKILL"}, 'expected one of "restart", "SIGHUP", "SIGUSR1", "SIGUSR2"'),
    ],
)
def test_options_that_mean_nothing_are_refused(options: dict[str, object], words: str) -> None:
    with pytest.raises(PluginError, match=words):
        build(PluginSpec("watch-files", options))
