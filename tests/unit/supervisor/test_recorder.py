"""What is written of crashes and states, and a disk that refuses it."""

from __future__ import annotations

import stat
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import anyio
import pytest
from fault_setup import Mounts
from finished_runs import run_to_end
from hostler import (
    CrashRecord,
    Directories,
    Event,
    Launch,
    Notice,
    PluginSpec,
    Server,
    ServerSpec,
    State,
    StateChanged,
    Supervisor,
    hookimpl,
)
from hostler.records.crash_store import CrashStore
from hostler.records.status_store import Status, StatusStore
from hostler.testing import SimulatedHost, run_virtually
from specs import QUICK, MakeSpec, announced

NO_RETRY = replace(QUICK, start_retries=0, max_restarts=0)


# -- the disk --------------------------------------------------------------------------------------


@pytest.fixture
def mounts() -> Iterator[Mounts]:
    mounts = Mounts()
    yield mounts
    mounts.unmount()


@pytest.mark.parametrize("trouble", ["full", "link", "file"])
async def test_a_disk_that_refuses_is_a_notice_and_hurts_nobody(
    make_spec: MakeSpec, directories: Directories, mounts: Mounts, tmp_path: Path, trouble: str
) -> None:
    break_data(trouble, directories.data, mounts)
    spec = make_spec("--exit-after", "0.4", restart=replace(QUICK, max_restarts=2))
    told = await run_to_end(spec, directories, namespace="one")
    assert [crash.generation for crash in told.crashes] == [1, 2, 3]
    assert told.stored == []
    words = [e.text for e in told.events if isinstance(e, Notice) and e.topic == "not_written"]
    assert len(words) == 2  # once for each kind, not once for each crash
    assert any(text.startswith("its state cannot be written: ") for text in words)
    assert any(text.startswith("its crash record cannot be written: ") for text in words)
    assert [e for e in told.events if isinstance(e, Notice) and e.topic != "not_written"] == []


async def test_a_disk_that_becomes_read_only_is_a_notice(
    make_spec: MakeSpec, directories: Directories, mounts: Mounts
) -> None:
    events: list[Event] = []

    def listen(event: Event) -> None:
        events.append(event)
        if isinstance(event, StateChanged) and event.state is State.RUNNING:
            mounts.read_only(directories.data)

    spec = make_spec("--exit-after", "0.5", restart=NO_RETRY)
    async with Supervisor(spec, directories=directories) as supervisor:
        supervisor.listen(listen)
        with anyio.fail_after(10):
            await supervisor["fake"].wait_stopped()
        assert len(supervisor["fake"].crashes) == 1

    (notice,) = [event for event in events if isinstance(event, Notice)]
    assert notice.topic == "not_written"
    assert notice.text.startswith("its crash record cannot be written: ")


def break_data(trouble: str, data: Path, mounts: Mounts) -> None:
    if trouble == "full":
        mounts.small(data, "64k")
        with (data / "ballast").open("wb") as file:
            try:
                file.write(b"x" * 2**20)
                file.flush()
            except OSError:
                pass
    else:
        folder = Directories(data, data, data).data_for("one")
        folder.mkdir(parents=True, mode=0o700)
        for name in ("crashes", "status"):
            plant(folder / name, data if trouble == "link" else None)


def plant(path: Path, target: Path | None) -> None:
    if target is None:
        path.write_text("in the way")
    else:
        path.symlink_to(target)


# -- the way to the next spawn ---------------------------------------------------------------------


def test_nothing_is_written_between_a_crash_and_the_next_spawn(directories: Directories) -> None:
    async def main() -> list[list[str]]:
        world, seen = SimulatedHost(), []
        policy = replace(QUICK, initial_delay=0.0, max_delay=0.0, max_restarts=2)
        spec = ServerSpec(name="fake", command=("fake",), port=None, restart=policy)

        def look(launch: Launch) -> None:
            seen.append(sorted(path.name[:8] for path in directories.data.rglob("*.json")))

        world.on_spawn = look

        async with world.supervisor(spec, directories=directories, namespace="one") as supervisor:
            server = supervisor["fake"]
            with anyio.fail_after(100):
                for generation in (1, 2, 3):
                    await server.until(partial(spawned, server, generation))
                    await anyio.sleep(1)
                    world.children_of("fake")[-1].exit(1)
                await server.wait_stopped()

        seen.append(sorted(path.name[:8] for path in directories.data.rglob("*.json")))
        return seen

    assert run_virtually(main) == [
        [],
        ["fake.jso"],
        ["00000001", "fake.jso"],
        ["00000001", "00000002", "00000003", "fake.jso"],
    ]


def spawned(server: Server, generation: int) -> bool:
    return server._engine.status.spawned_generation == generation


async def written(server: Server, state: State) -> Status:
    """The status on disk, as soon as it tells this state."""
    with anyio.fail_after(5):
        while True:
            status = StatusStore(server.data_dir).read("fake")
            if status is not None and status.state is state:
                return status
            await anyio.sleep(0.01)


async def test_the_state_on_disk_follows_and_stays_at_the_end(
    make_spec: MakeSpec, directories: Directories
) -> None:
    async with Supervisor(make_spec(), directories=directories, namespace="one") as supervisor:
        server = supervisor["fake"]
        await server.wait_ready(10)
        status = await written(server, State.RUNNING)
        assert (status.pid, status.url, status.generation, status.writer_is_alive) == (
            server.pid,
            server.url,
            1,
            True,
        )
        await server.stop()
        assert StatusStore(server.data_dir).read("fake") == await written(server, State.STOPPED)
    assert (await written(server, State.STOPPED)).pid is None


def test_the_states_of_many_servers_are_written_one_after_the_other(directories: Directories) -> None:
    async def main() -> list[int]:
        world, seen = SimulatedHost(), []
        specs = [ServerSpec(name=f"fake{n}", command=("fake",), port=None) for n in range(10)]
        async with world.supervisor(specs, directories=directories, namespace="one"):
            for pause in (0.19, 0.02, 0.1, 0.1):
                await anyio.sleep(pause)
                seen.append(len(list(directories.data.rglob("status/*.json"))))
        return seen

    before, first, some, all_of_them = run_virtually(main)
    assert (before, first, all_of_them) == (0, 1, 10)
    assert 2 < some < 9


def runs(server: Server, generation: int) -> bool:
    return server.usable and server.generation == generation


@dataclass(eq=False)
class Clumsy:
    """Fails whenever its server is ready."""

    @hookimpl
    async def on_ready(self) -> None:
        raise KeyError("x")


async def test_a_hook_that_is_out_of_use_stands_in_the_state_until_the_plugins_come_back_new(
    make_spec: MakeSpec, directories: Directories
) -> None:
    plugins = (announced(), PluginSpec("clumsy", instance=Clumsy()))
    spec = make_spec(plugins=plugins)
    async with Supervisor(spec, directories=directories, namespace="one") as supervisor:
        server = supervisor["fake"]

        async def status_of_run(generation: int) -> Status:
            while True:
                status = await written(server, State.RUNNING)
                if status.generation == generation and bool(status.hooks_out) == (generation == 3):
                    return status
                await anyio.sleep(0.01)

        for generation in (1, 2, 3):
            await server.until(partial(runs, server, generation))
            status = await status_of_run(generation)
            await server.restart() if generation < 3 else await server.stop()
        assert status.hooks_out == ("on_ready of clumsy: raised KeyError('x')",)
        await server.start()
        await server.wait_ready(10)
        assert (await status_of_run(4)).hooks_out == ()


async def test_without_a_namespace_no_state_is_written(make_spec: MakeSpec, directories: Directories) -> None:
    async with Supervisor(make_spec(), directories=directories) as supervisor:
        await supervisor["fake"].wait_ready(10)
    assert list(directories.data.rglob("*.json")) == []


def test_a_status_that_makes_no_sense_is_none(tmp_path: Path) -> None:
    (tmp_path / "status").mkdir()
    file = tmp_path / "status" / "fake.json"
    for text in ("", "{}", "[", '{"server": "fake"}'):
        file.write_text(text)
        assert StatusStore(tmp_path).read("fake") is None


async def test_a_state_is_never_seen_half_written(tmp_path: Path) -> None:
    store = StatusStore(tmp_path)
    change = StateChanged(server="fake", generation=1, state=State.RUNNING, previous=State.WAITING_READY)
    store.write(Status.after(change))
    seen: list[Status | None] = []

    def read() -> None:
        seen.extend(store.read("fake") for _ in range(300))

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(anyio.to_thread.run_sync, read)
        for generation in range(300):
            later = replace(change, generation=generation, reason="x" * (generation % 50))
            await anyio.to_thread.run_sync(store.write, Status.after(later))

    assert None not in seen


def test_a_state_is_written_into_the_same_file_but_into_none_that_is_another_too(tmp_path: Path) -> None:
    store, file, other = StatusStore(tmp_path), tmp_path / "status" / "fake.json", tmp_path / "other"
    change = StateChanged(server="fake", generation=1, state=State.RUNNING, previous=State.WAITING_READY)

    def write(generation: int, reason: str = "") -> int:
        store.write(Status.after(replace(change, generation=generation, reason=reason)))
        status = store.read("fake")
        assert status is not None
        assert (status.generation, status.reason) == (generation, reason)
        assert file.stat().st_mode == stat.S_IFREG | 0o600
        return file.stat().st_ino

    first = write(1)
    assert write(2) == first
    assert write(3, "x" * 2000) != first  # it would have to grow
    long = write(4, "x" * 5000)
    assert write(5, "x" * 5000) != long  # a kill between two pages would leave half of each

    other.hardlink_to(file)
    before = other.read_bytes()
    write(6)
    assert other.read_bytes() == before

    file.unlink()
    file.symlink_to(other)
    write(7)
    file.chmod(0o644)
    write(8)
    assert other.read_bytes() == before


def test_a_folder_of_states_that_was_moved_or_replaced_gets_no_more_of_them(tmp_path: Path) -> None:
    store, folder = StatusStore(tmp_path), tmp_path / "status"
    change = StateChanged(server="fake", generation=1, state=State.RUNNING, previous=State.WAITING_READY)
    store.write(Status.after(change))

    moved = folder.rename(tmp_path / "moved")
    store.write(Status.after(replace(change, generation=2)))
    assert b'"generation": 1,' in (moved / "fake.json").read_bytes()
    assert b'"generation": 2,' in (folder / "fake.json").read_bytes()

    folder.rename(tmp_path / "again")
    folder.symlink_to(moved)
    with pytest.raises(OSError, match=r"Not a directory|symbolic links"):
        store.write(Status.after(replace(change, generation=3)))


async def test_a_disk_that_hangs_holds_up_the_end_for_three_seconds_at_most(
    make_spec: MakeSpec, directories: Directories, monkeypatch: pytest.MonkeyPatch
) -> None:
    let_go = threading.Event()
    monkeypatch.setattr(CrashStore, "write", lambda *_: let_go.wait(30))  # no disk hangs at will

    try:
        began = anyio.current_time()
        told = await run_to_end(make_spec("--exit-after", "0.2", restart=QUICK), directories)
        took = anyio.current_time() - began
        assert len(told.crashes) == 6
        assert 3.0 <= took < 12.0
    finally:
        let_go.set()


async def test_a_record_that_comes_while_another_is_written_is_written_too(
    make_spec: MakeSpec, directories: Directories, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = CrashStore.write

    def write_slowly(store: CrashStore, record: CrashRecord) -> None:
        time.sleep(0.5)
        write(store, record)

    monkeypatch.setattr(CrashStore, "write", write_slowly)  # no disk is slow at will
    spec = make_spec("--exit-after", "0.1", restart=replace(QUICK, max_restarts=2))
    told = await run_to_end(spec, directories)
    assert [crash.generation for crash in told.stored] == [1, 2, 3]
