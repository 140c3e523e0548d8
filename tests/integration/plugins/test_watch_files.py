"""The plugin watch-files, with real files and a real server."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hostler import (
    Directories,
    Event,
    Notice,
    PluginSpec,
    RestartPolicy,
    Server,
    ServerSpec,
    State,
    Supervisor,
)
from hostler.config.preflight.inspector import Inspector
from hostler.model.spec import Configuration
from hostler_plugins.watch_files import Pace
from hostler_plugins.watch_files.contents import Contents
from specs import QUICK, MakeSpec, announced

COUNT = ["*.py*", "*m*", "4*", ".*"]
EMACS_AND_VIM = ("#m.py#", ".#m.py", "m.py~", "4913", ".m.py.swp")
TRACES = (*EMACS_AND_VIM, "m.py___jb_tmp___", ".m.py.kate-swp", ".goutputstream-AB12", ".nfs0001", ".vscode")
"""What Emacs, vim, JetBrains, Kate, GNOME, NFS and VS Code write beside the files that they change."""

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
    assert told(events, "restart_asked")[0] == "restart requested: begun changed"


async def test_only_what_counts_restarts_it(keep: Keep, events: list[Event], app: Path) -> None:
    async with (
        asyncio.timeout(DEADLINE),
        keep(patterns=["*.py*", "*m*", "4*"], ignore=["gen", "skip.py"]) as supervisor,
    ):
        server = supervisor["fake"]
        await server.wait_ready(DEADLINE)
        (app / "gen").mkdir()
        number = 0
        while server.generation == 1:
            number += 1
            for name in ("node_modules/x.py", "gen/y.py", "skip.py", *TRACES, "main.py"):
                (app / name).write_text(str(number))
            await asyncio.sleep(0.05)
        await server.wait_ready(DEADLINE)

    assert set(told(events, "restart_asked")) == {"restart requested: main.py changed"}


async def test_an_empty_new_folder_is_no_change_and_one_with_files_is(
    keep: Keep, events: list[Event], app: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    full = tmp_path_factory.mktemp("outside") / "full"
    (full / "deep").mkdir(parents=True)
    (full / "deep" / "x.py").write_text("")

    async with asyncio.timeout(DEADLINE), keep() as supervisor:
        server = supervisor["fake"]
        await watched(server, events, app)
        await asyncio.sleep(1)  # the last of the changes that it began with
        await server.wait_ready(DEADLINE)
        generation = server.generation
        (app / "new" / "deep").mkdir(parents=True)
        await asyncio.sleep(1)
        assert server.generation == generation
        full.rename(app / "full")

        await server.until(lambda: server.generation > generation)
        await server.wait_ready(DEADLINE)

    assert told(events, "restart_asked")[-1].endswith(" full changed")


async def test_a_new_time_and_new_rights_of_a_file_are_no_change(
    keep: Keep, events: list[Event], app: Path
) -> None:
    old = app / "old.py"
    old.write_text("same")
    os.utime(old, (1, 1))

    def is_told() -> bool:  # beside "begun changed", once or twice
        return "restart requested: old.py changed" in told(events, "restart_asked")

    async with asyncio.timeout(DEADLINE), keep(paths=["old.py", "begun", "."]) as supervisor:
        server = supervisor["fake"]
        await watched(server, events, app)
        await server.until(lambda: server.generation >= 2)
        await server.wait_ready(DEADLINE)
        for step in (
            old.touch,
            lambda: old.chmod(0o600),
            lambda: old.write_text("same"),
            lambda: app.chmod(0o755),
            lambda: shutil.move(shutil.copy(old, old.with_name("sedA1b2C3")), old),  # a save of sed -i
        ):
            step()
            await asyncio.sleep(0.2)  # seen by itself, were it a change
        assert not is_told()
        old.write_text("another")
        await server.until(is_told)


async def test_a_signal_may_be_sent_instead(keep: Keep, events: list[Event], app: Path) -> None:
    async with asyncio.timeout(DEADLINE), keep(action="SIGUSR2", paths=["."]) as supervisor:
        server = supervisor["fake"]
        await watched(server, events, app)
        await server.until(lambda: server.generation >= 2)  # it knows no better than to die of SIGUSR2
        assert server.crashes[0].signal == signal.SIGUSR2
    assert told(events, "files_changed")[0] == "begun changed: SIGUSR2 is sent"


async def test_many_changes_slow_the_watch_down_and_it_goes_on(
    keep: Keep, events: list[Event], app: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hostler_plugins.watch_files._SLOW", 0.5)  # 30 s would be long

    async with asyncio.timeout(60), keep() as supervisor:
        server = supervisor["fake"]
        number = 0
        while not told(events, "watch_slowed"):
            number += 1
            (app / "state").write_text(str(number))
            await asyncio.sleep(0.03)
        before = server.generation
        await server.until(lambda: server.generation > before)
        assert before <= 11

    (text,) = told(events, "watch_slowed")
    assert text.startswith("state: more than 10 changes within 60 s")
    assert "ignore" in text


def test_the_pace_is_slow_from_the_eleventh_change_in_a_minute_until_a_minute_is_quiet() -> None:
    pace = Pace()

    def act(now: float) -> float:
        delay = pace.changed(now)
        pace.acted(now + delay)
        return delay

    assert [act(float(now)) for now in range(0, 40, 4)] == [0.0] * 10
    assert [act(40.0), act(67.0), act(100.0)] == [26.0, 29.0, 26.0]  # 30 s after the last each time
    assert pace.slow
    assert act(160.0) == 0.0
    assert not pace.slow
    assert [act(160.0 + now) for now in range(1, 9)] == [0.0] * 8


# -- a broken save ---------------------------------------------------------------------------------


def save(app: Path, text: str) -> None:
    (app / "main.py").write_text(text)


@pytest.fixture
def program(directories: Directories, events: list[Event], app: Path) -> Callable[..., Supervisor]:
    """A server that is the program it watches: it runs, or ends with 3, as its text says."""
    save(app, "echo up; sleep 1000")

    def make(*others: ServerSpec, **fields: Any) -> Supervisor:
        options = {"debounce": "20ms", **fields.pop("options", {})}
        plugins = (PluginSpec("log-ready", {"pattern": "up"}), PluginSpec("watch-files", options))
        given: dict[str, Any] = {
            "name": "app",
            "port": None,
            "restart": QUICK,
            "cwd": app,
            "plugins": plugins,
        }
        spec = ServerSpec(command=("sh", "main.py"), **(given | fields))
        supervisor = Supervisor([spec, *others], directories=directories)
        supervisor.listen(events.append)
        return supervisor

    return make


async def saved_until(server: Server, app: Path, text: str, state: State) -> None:
    """Save it until that is seen: nobody tells when the watch has begun. Many saves would slow it down."""
    seen = False

    def look() -> bool:
        nonlocal seen
        seen = seen or server.state is state
        return seen

    watching = asyncio.ensure_future(server.until(look))
    number = 0

    while not watching.done():
        number += 1
        save(app, f"{text}\n# {number}")
        await asyncio.wait({watching}, timeout=0.1 * 2**number)


async def test_after_a_broken_save_the_mended_file_starts_it_anew_with_a_full_budget(
    program: Callable[..., Supervisor], events: list[Event], app: Path
) -> None:
    async with asyncio.timeout(DEADLINE), program() as supervisor:
        server = supervisor["app"]
        await server.wait_ready()
        await saved_until(server, app, "exit 3", State.FAILED)
        ended = asyncio.ensure_future(supervisor.wait())
        await saved_until(server, app, "echo up; sleep 1000", State.RUNNING)
        assert not ended.done()
        assert server._engine.status.budget.used == 0
        ended.cancel()

    assert told(events, "waits_while_failed") == ["it waits: a change of its files starts it anew"]


@pytest.mark.parametrize("action", ["restart", "SIGHUP"])
async def test_a_server_that_failed_from_the_beginning_is_started_by_the_next_change(
    program: Callable[..., Supervisor], app: Path, action: str
) -> None:
    save(app, "exit 3")
    async with asyncio.timeout(DEADLINE), program(options={"action": action}) as supervisor:
        server = supervisor["app"]
        await server.until(lambda: server.state is State.FAILED)
        await saved_until(server, app, "echo up; sleep 1000", State.RUNNING)


async def test_a_change_while_it_waits_for_its_restart_starts_it_at_once(
    program: Callable[..., Supervisor], app: Path
) -> None:
    slow = RestartPolicy(initial_delay=1000.0, max_delay=1000.0)
    save(app, "exit 3")
    async with asyncio.timeout(DEADLINE), program(restart=slow) as supervisor:
        server = supervisor["app"]
        await server.until(lambda: server.state is State.BACKOFF)
        await saved_until(server, app, "echo up; sleep 1000", State.RUNNING)


async def test_who_failed_for_want_of_it_comes_back_with_it(
    program: Callable[..., Supervisor], app: Path
) -> None:
    save(app, "exit 3")
    other = ServerSpec(name="other", command=("sleep", "1000"), port=None, needs=("app",), restart=QUICK)
    async with asyncio.timeout(DEADLINE), program(other) as supervisor:
        await supervisor["other"].until(lambda: supervisor["other"].state is State.FAILED)
        await saved_until(supervisor["app"], app, "echo up; sleep 1000", State.RUNNING)
        await supervisor["other"].until(lambda: supervisor["other"].state is State.RUNNING)


async def test_a_stop_ends_the_watch_of_a_failed_server(
    program: Callable[..., Supervisor], app: Path
) -> None:
    save(app, "exit 3")

    async with asyncio.timeout(DEADLINE), program(essential=True) as supervisor:
        server = supervisor["app"]
        await server.until(lambda: server._engine.is_revivable)
        assert supervisor.ended_by is None
        await server.stop()
        await supervisor.wait()
        save(app, "echo up; sleep 1000")
        await asyncio.sleep(0.5)
        assert server.state is State.FAILED


async def test_a_start_of_a_failed_server_begins_with_a_watch_of_its_own(
    program: Callable[..., Supervisor], app: Path, events: list[Event]
) -> None:
    save(app, "exit 3")

    async with asyncio.timeout(DEADLINE), program() as supervisor:
        server = supervisor["app"]
        await server.until(lambda: server._engine.is_revivable)
        save(app, "echo up; sleep 1000")
        await server.start()
        await server.wait_ready()
        await asyncio.sleep(0.5)
        events.clear()
        save(app, "echo up; sleep 1001")
        await server.until(lambda: bool(told(events, "restart_asked")))
        await server.wait_ready()
        await asyncio.sleep(0.3)

    assert len(told(events, "restart_asked")) == 1


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


def test_check_warns_of_what_is_not_there_as_a_start_does(
    make_spec: MakeSpec, directories: Directories, app: Path
) -> None:
    spec = make_spec(plugins=(PluginSpec("watch-files", {"paths": ["gone", "main.py", "*.c"]}),), cwd=app)
    gone, pattern = Inspector(Configuration({"fake": spec}), directories, {}).observations()
    assert (gone.key, gone.severity) == ("servers.fake.plugins.watch-files.paths", "warning")
    assert gone.message == f"there is nothing to watch at {app / 'gone'}"
    assert pattern.message == (
        f"there is nothing to watch at {app / '*.c'}: name the folder, and what counts in it with "
        'patterns = ["*.c"]'
    )


def learnt(folder: Path, at: float) -> Contents:
    contents = Contents()
    contents.learn([folder], (), lambda _: True, at)
    return contents


def test_a_file_that_was_written_since_the_watch_began_is_not_taken_for_what_was_there(
    tmp_path: Path,
) -> None:
    file = tmp_path / "app.py"
    file.write_text("new")
    written = file.stat().st_mtime
    assert learnt(tmp_path, written).have_changed(str(file))
    assert learnt(tmp_path, written - 10).have_changed(str(file))
    assert not learnt(tmp_path, written + 10).have_changed(str(file))


@pytest.mark.parametrize(("bound", "known"), [("_LARGEST", 0), ("_MOST", 1)])
def test_of_large_files_and_of_many_no_more_is_read_than_so_much(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bound: str, known: int
) -> None:
    monkeypatch.setattr(f"hostler_plugins.watch_files.contents.{bound}", 10 if known else 7)
    files = [tmp_path / "a", tmp_path / "b"]
    for file in files:
        file.write_bytes(bytes(8))
    contents = learnt(tmp_path, time.time() + 10)
    assert [contents.have_changed(str(file)) for file in files].count(False) == known


def test_what_another_user_swaps_for_a_pipe_at_any_moment_is_never_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, pipe = tmp_path / "app.py", tmp_path / "pipe"
    contents = Contents()
    looked = os.fstat

    def swap(descriptor: int) -> os.stat_result:
        facts = looked(descriptor)
        pipe.rename(file)
        return facts

    file.write_text("text")
    assert contents.have_changed(str(file))
    monkeypatch.setattr(os, "fstat", swap)
    os.mkfifo(pipe)
    assert not contents.have_changed(str(file))  # it was still the file when it was looked at
    monkeypatch.undo()
    assert contents.have_changed(str(file))
