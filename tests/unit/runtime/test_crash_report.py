"""A record for every end that was not asked for: in memory, as an event, on disk."""

from __future__ import annotations

import json
import signal
from collections.abc import AsyncGenerator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import anyio
import psutil
import pytest
from finished_runs import run_to_end
from hostler import (
    Action,
    Advice,
    CrashRecord,
    CrashRecorded,
    Directories,
    Exit,
    ExitCause,
    Healthy,
    Launch,
    PluginNote,
    PluginSpec,
    ProcessAlreadyRunning,
    Report,
    Server,
    ServerError,
    ServerSpec,
    ServerView,
    State,
    StateChanged,
    Supervisor,
    Unhealthy,
    hookimpl,
)
from hostler.engine.server import SupervisedServer
from hostler.records.crash_store import CrashStore
from hostler.records.status_store import Status, StatusStore
from specs import QUICK, MakeSpec, announced

NO_RETRY = replace(QUICK, start_retries=0, max_restarts=0)


async def test_each_crash_is_kept_told_and_written(make_spec: MakeSpec, directories: Directories) -> None:
    switches = ("--exit-after", "0.3", "--exit-code", "3", "--print", "so far", "--print-error", "boom")
    told = await run_to_end(make_spec(*switches, restart=replace(QUICK, max_restarts=1)), directories)
    first, last = told.crashes
    assert told.stored == [rounded(first), rounded(last)]
    assert [e.record for e in told.events if isinstance(e, CrashRecorded)] == [first, last]
    assert abs(first.when - datetime.now(UTC)) < timedelta(minutes=1)
    assert (first.generation, first.code, first.signal, first.how) == (1, 3, None, "exit code 3")
    assert (first.cause, first.ready, first.killed) == (ExitCause.EXITED, True, False)
    assert first.reason.startswith("it exited unexpectedly while it ran: exit code 3 after 0.")
    assert (first.error, bool(first.hint)) == ("ServerCrashed", True)
    assert 0.3 <= first.uptime < 5
    assert first.stdout.startswith("so far\nfake server listening on")
    assert first.stderr == "boom\n"
    assert (first.outcome, first.decision) == (State.BACKOFF, "")
    assert (first.restarts_used, first.restarts_allowed) == (1, 1)
    assert first.next_try is not None
    assert timedelta() < first.next_try - first.when < timedelta(seconds=2)
    assert (last.generation, last.outcome, last.decision) == (2, State.FAILED, "gave up after 1 restarts")
    assert last.next_try is None


def rounded(record: CrashRecord) -> CrashRecord:
    """As JSON tells it: times in milliseconds."""
    return CrashRecord.from_dict(json.loads(json.dumps(record.as_dict())))


async def test_the_record_is_there_before_the_state_that_follows_is_told(
    make_spec: MakeSpec, directories: Directories
) -> None:
    seen: list[tuple[State, int]] = []

    async with Supervisor(
        make_spec("--exit-after", "0.2", restart=NO_RETRY), directories=directories
    ) as supervisor:
        server = supervisor["fake"]
        supervisor.listen(
            lambda e: seen.append((e.state, len(server.crashes))) if isinstance(e, StateChanged) else None
        )
        with anyio.fail_after(10):
            await server.wait_stopped()

    assert seen[-2:] == [(State.CRASHED, 0), (State.FAILED, 1)]


@pytest.mark.requirement("R23")
async def test_a_signal_and_memory_are_on_record(make_spec: MakeSpec, directories: Directories) -> None:
    spec = make_spec("--exit-after", "1.5", "--exit-signal", "9", restart=NO_RETRY, memory_interval=0.5)
    (crash,) = (await run_to_end(spec, directories)).crashes
    assert (crash.signal, crash.code, crash.how) == (signal.SIGKILL, None, "killed by SIGKILL")
    first, *others = crash.memory
    assert others
    assert first.uptime < 1.0
    assert all(point.rss > 1_000_000 and point.processes == 1 for point in crash.memory)
    assert [point.uptime for point in crash.memory] == sorted(point.uptime for point in crash.memory)


async def test_what_was_asked_for_is_no_crash(make_spec: MakeSpec, directories: Directories) -> None:
    async with Supervisor(make_spec(), directories=directories) as supervisor:
        server = supervisor["fake"]
        await server.wait_ready(10)
        await server.restart()
        await server.wait_ready(10)
        await server.force_stop()
        assert server.crashes == ()
    assert CrashStore(server.data_dir).read("fake") == []


async def test_a_start_that_fails_is_on_record_with_its_retry(directories: Directories) -> None:
    spec = ServerSpec(name="fake", command=("no-such-program",), restart=QUICK, port=None)
    told = await run_to_end(spec, directories)
    (crash,) = told.crashes
    assert (crash.cause, crash.how, crash.pid) == (ExitCause.SPAWN_FAILED, "not started", None)
    assert (crash.outcome, crash.decision) == (State.FAILED, "a restart cannot help")
    assert crash.error == "ProcessSpawnFailed"
    assert told.stored == [rounded(crash)]


async def test_a_first_start_that_never_is_ready_tells_its_own_budget(
    make_spec: MakeSpec, directories: Directories
) -> None:
    first, last = (await run_to_end(make_spec("--exit-after", "0"), directories)).crashes
    assert (first.restarts_used, first.restarts_allowed, first.outcome) == (1, 1, State.BACKOFF)
    assert (last.restarts_used, last.decision) == (1, "it never became ready")


async def test_a_stop_in_the_crash_and_work_that_is_done_are_told_as_such(
    directories: Directories, make_spec: MakeSpec
) -> None:
    @dataclass(eq=False)
    class Stops:
        @hookimpl
        async def on_crash(self, server: SupervisedServer) -> None:
            server.ask_down()

    plugins = (announced(), PluginSpec("stops", instance=Stops()))
    (crash,) = (await run_to_end(make_spec("--exit-after", "0.2", plugins=plugins), directories)).crashes
    assert (crash.outcome, crash.decision) == (State.STOPPED, "stop asked for")
    worker = ServerSpec(name="fake", command=("true",), port=None)
    (crash,) = (await run_to_end(worker, directories)).crashes
    assert (crash.outcome, crash.decision) == (State.STOPPED, "it has done its work")


@dataclass(eq=False)
class Talks:
    """A plugin that says something in every way there is."""

    @hookimpl
    async def health_check(self) -> AsyncGenerator[Report, None]:
        yield Healthy()
        yield Unhealthy("says 503")
        yield Unhealthy("says 503")
        yield Unhealthy("says 503")

    @hookimpl
    async def on_ready(self) -> None:
        raise RuntimeError("kaput")

    @hookimpl
    async def on_crash(self) -> Advice:
        return Advice(Action.GIVE_UP, ServerError("the plugin knows why"))


@dataclass(eq=False)
class Knows:
    """Health plugins of which nothing is known."""

    fails: bool

    @hookimpl
    async def health_check(self, server: ServerView) -> AsyncGenerator[Report, None]:
        if self.fails:
            raise RuntimeError("no idea")
        await anyio.sleep_forever()
        yield Healthy()


async def test_what_each_plugin_said_is_on_record(make_spec: MakeSpec, directories: Directories) -> None:
    plugins = (announced(), PluginSpec("talks", instance=Talks()))
    (crash,) = (await run_to_end(make_spec(plugins=plugins), directories)).crashes
    assert (crash.cause, crash.killed) == (ExitCause.UNHEALTHY, True)
    assert (crash.decision, crash.reason) == ("a restart cannot help", "the plugin knows why")
    assert crash.plugins == (
        PluginNote("talks", "health_check", "unhealthy (3 in a row): says 503"),
        PluginNote("talks", "on_ready", "failed: raised RuntimeError('kaput')"),
        PluginNote("talks", "on_crash", "advised to give up: the plugin knows why"),
    )


async def test_of_plugins_that_know_nothing_that_is_told(
    make_spec: MakeSpec, directories: Directories
) -> None:
    plugins = (
        announced(),
        PluginSpec("waits", instance=Knows(False)),
        PluginSpec("fails", instance=Knows(True)),
    )
    spec = make_spec("--exit-after", "0.5", plugins=plugins, restart=NO_RETRY)
    (crash,) = (await run_to_end(spec, directories)).crashes
    words = {word.plugin: word.text for word in crash.plugins if not word.text.startswith("failed: ")}
    assert words["waits"] == "no report yet"
    assert words["fails"] == "failed itself, so the health is unknown: RuntimeError: no idea"


async def test_the_last_twenty_are_kept(directories: Directories) -> None:
    policy = replace(QUICK, max_delay=0.0, initial_delay=0.0, max_restarts=24)
    spec = ServerSpec(name="fake", command=("false",), port=None, restart=policy)
    told = await run_to_end(spec, directories)
    assert [crash.generation for crash in told.crashes] == list(range(6, 26))
    assert [crash.generation for crash in told.stored] == list(range(6, 26))


async def test_a_server_that_another_hostler_runs_has_no_crash_on_disk(
    make_spec: MakeSpec, directories: Directories
) -> None:
    spec = make_spec()
    options: dict[str, Any] = {"directories": directories, "namespace": "one"}
    async with Supervisor(spec, **options) as first:
        await first["fake"].wait_ready(10)
        await written(first["fake"], State.RUNNING)
        async with Supervisor(spec, **options) as second:
            with pytest.raises(ProcessAlreadyRunning):
                await second["fake"].wait_ready(10)
            assert [crash.error for crash in second["fake"].crashes] == ["ProcessAlreadyRunning"]
        assert CrashStore(first["fake"].data_dir).read("fake") == []
        await written(first["fake"], State.RUNNING)


async def test_a_mistake_of_hostler_itself_is_on_record(
    make_spec: MakeSpec, directories: Directories, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise ValueError("a bug")

    monkeypatch.setattr("hostler.engine.monitor.Monitor.begin", fail)  # nothing real makes one
    (crash,) = (await run_to_end(make_spec(), directories)).crashes
    assert (crash.outcome, crash.decision) == (State.FAILED, "hostler itself failed")
    assert "a bug" in crash.reason


async def test_a_mistake_of_hostler_itself_in_a_stop_is_raised_by_the_stop(
    make_spec: MakeSpec, directories: Directories, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise ValueError("a bug")

    async with Supervisor(make_spec(), directories=directories) as supervisor:
        server = supervisor["fake"]
        await server.wait_ready(20)
        ran = server.members()
        monkeypatch.setattr("hostler.engine.shutdown.empty_tree", fail)  # nothing real makes one
        with pytest.raises(ServerError, match="hostler itself failed.*a bug"):
            await server.stop()
        assert server.state is State.STOPPED
        assert server.pid is None
        assert ran
        assert not any(psutil.pid_exists(pid) for pid in ran)
        monkeypatch.undo()
        await server.start()
        await server.stop()


# -- secrets ---------------------------------------------------------------------------------------


SECRET, LATE = "sesame-open-sesame", "found-at-run-time-42"


@dataclass(eq=False)
class Leaks:
    """Lets a secret out in every word that a record takes."""

    @hookimpl
    async def pre_spawn(self, launch: Launch) -> None:
        launch.set_secret("FAKE_TOKEN", SECRET)

    @hookimpl
    async def health_check(self) -> AsyncGenerator[Report, None]:
        yield Healthy({"token": SECRET})
        yield Unhealthy(f"--token={SECRET} was refused", {"body": SECRET})
        raise RuntimeError(f"curl -H 'Authorization: {SECRET}' failed")

    @hookimpl
    async def on_ready(self) -> None:
        raise RuntimeError(f"fake --token {SECRET}")

    @hookimpl
    async def on_crash(self, server: ServerView, exit: Exit) -> Advice:
        server.redact(LATE)
        hint = f"try fake --token={SECRET} --late={LATE}"
        return Advice(Action.BACK_OFF, ServerError(f"bad token {SECRET}, {LATE}", hint=hint))


def files_in(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


async def test_no_file_tells_a_secret(make_spec: MakeSpec, directories: Directories, tmp_path: Path) -> None:
    plugins = (announced(), PluginSpec("leaks", instance=Leaks()))
    switches = ["--print-secret-split", "FAKE_TOKEN", "--print-env", "FAKE_TOKEN", "--exit-after", "0.8"]
    switches += ["--print-error", f"fake --token={LATE} and so on", "--print", LATE, "--unfinished", LATE]
    spec = make_spec(*switches, plugins=plugins, restart=replace(QUICK, max_restarts=1))
    told = await run_to_end(spec, directories, namespace="one")
    files = files_in(tmp_path)
    texts = [path.read_text() for path in files] + [
        repr(told.crashes),
        str([e.as_dict() for e in told.events]),
    ]
    assert len(told.stored) == 2
    assert len(files) == 3
    assert [text for text in texts if SECRET in text] == []
    assert [path.read_text() for path in files if LATE in path.read_text()] == []
    last = told.stored[-1]
    assert "the password is ********" in last.stdout
    assert "--token=******** and so on" in last.stderr
    assert last.reason == "bad token ********, ********"
    assert last.hint == "try fake --token=******** --late=********"


# -- the way to the next spawn ---------------------------------------------------------------------


async def written(server: Server, state: State) -> Status:
    """The status on disk, as soon as it tells this state."""
    with anyio.fail_after(5):
        while True:
            status = StatusStore(server.data_dir).read("fake")
            if status is not None and status.state is state:
                return status
            await anyio.sleep(0.01)
