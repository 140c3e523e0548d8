"""Files of hostler's own that hold anything: torn, huge, nested, of wrong types. Read or refused, no more.

More examples: HYPOTHESIS_PROFILE=many.
"""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Iterator
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hostler.errors import ProcessAlreadyRunning
from hostler.events.crash import CrashRecord
from hostler.model.values import ExitCause
from hostler.process.disk.directories import Directories
from hostler.process.disk.lock import NameLock, Owner
from hostler.process.disk.run_record import RunRecord, RunStore, kill_recorded
from hostler.records.crash_store import CrashStore
from hypothesis import example, given
from hypothesis import strategies as st
from msgspec import structs

# No "/" anywhere: a path that is read from a fuzzed record is removed, if it is one.
texts = st.text(st.characters(exclude_characters="/"), max_size=8)
numbers = st.integers() | st.integers(-1, 3) | st.floats() | st.just(2**64) | st.just(-(2**63))
scalars = st.none() | st.booleans() | numbers | texts
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=8,
)
nested = st.builds(
    lambda deep, kind: kind * deep, st.sampled_from([900, 5000, 100_000]), st.sampled_from([b"[", b'{"a":'])
)
digits = st.builds(lambda many: b'{"pid": ' + b"9" * many + b"}", st.sampled_from([30, 5000]))
foreign = st.binary(max_size=80) | values.map(lambda value: json.dumps(value).encode()) | nested | digits


def record() -> dict[str, Any]:
    begun = RunRecord.begin("run", "here", "web", argv=["serve"], temporary=[Path("left")])
    read: dict[str, Any] = json.loads(json.dumps(structs.asdict(begun), default=str))
    return read


def crash() -> dict[str, object]:
    when = datetime(2026, 11, 22, tzinfo=UTC)
    one = CrashRecord(
        server="web", generation=1, when=when, cause=ExitCause.EXITED, how="exit code 1", reason="it ended"
    )
    return one.as_dict()


def spoilt(whole: dict[str, Any]) -> st.SearchStrategy[bytes]:
    """A file that was good: some values are others, and perhaps its end is missing or a byte is wrong."""
    changed = st.dictionaries(st.sampled_from(sorted(whole)) | texts, values, max_size=4)
    text = changed.map(lambda more: json.dumps(whole | more).encode())
    torn = st.builds(lambda data, end: data[: end % (len(data) + 1)], text, st.integers(0, 2000))
    flipped = st.builds(
        lambda data, at, byte: data[: at % len(data)] + byte + data[at % len(data) + 1 :],
        text,
        st.integers(0, 2000),
        st.binary(min_size=1, max_size=1),
    )
    return text | torn | flipped


@pytest.fixture(scope="module")
def directories(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Directories]:
    base = tmp_path_factory.mktemp("fuzz")
    yield Directories(base / "s", base / "d", base / "c")
    shutil.rmtree(base)


@given(foreign | spoilt(record()))
@example(b"")
@example(b" " * 5_000_000)
@example(json.dumps(record() | {"argv": ["x" * 1_000_000]}).encode())
@example(json.dumps(record() | {"run_id": "\ud800", "temporary": ["\ud800", "a\0b"]}).encode())
def test_whatever_a_run_record_holds_it_is_a_record_or_a_problem(
    directories: Directories, data: bytes
) -> None:
    store, lock = RunStore(directories), NameLock.take(directories, "here", "web")
    asked: list[RunRecord] = []

    try:
        lock.record_path.write_bytes(data)
        leftover = store.leftover(lock)
        assert leftover.record is None or not leftover.problem
        assert leftover.record or leftover.problem or b"{}" in data  # that says that the run is over
        if leftover.record is not None:
            assert_typed(leftover.record)
        recovered = store.recover(lock, lambda record: asked.append(record) or [])  # type: ignore[func-returns-value]
        assert recovered.paths_removed == ()
        assert store.is_clean(lock)
        assert asked in ([], [leftover.record])
    finally:
        lock.release()


def assert_typed(found: RunRecord) -> None:
    assert isinstance(found.run_id, str)
    assert all(isinstance(word, str) for word in found.argv)
    assert all(isinstance(path, Path) for path in found.temporary)
    assert found.pid is None or isinstance(found.pid, int)
    assert found.start_time is None or isinstance(found.start_time, float | int)


@pytest.mark.parametrize("pid", [None, -1, 0, 1, 2**31, 2**70])
@pytest.mark.parametrize("start", [None, 0, -1, float("nan"), float("inf")])
@pytest.mark.parametrize("run_id", ["", "\0", "a" * 100_000, "\ud800"])
def test_a_record_of_nobody_kills_nobody(run_id: str, pid: int | None, start: float | None) -> None:
    one = RunRecord(
        run_id=run_id,
        namespace="here",
        server="web",
        argv=(),
        temporary=(),
        supervisor_pid=1,
        supervisor_start=0,
        boot_id="",
        written=0,
        pid=pid,
        start_time=start,
    )
    assert kill_recorded(one) == ()


@given(foreign | spoilt(asdict(Owner(1, 2.0, "here", "web"))))
@example(b"[" * 100_000)
def test_whatever_stands_in_a_lock_it_is_held_and_told(directories: Directories, data: bytes) -> None:
    lock = NameLock.take(directories, "here", "web")
    try:
        lock.path.write_bytes(data.replace(b"true", b"null"))  # one who sweeps is waited for: 10 s
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("hostler.process.disk.lock._UNNAMED_OWNER_TIMEOUT", 0.0)
            with pytest.raises(ProcessAlreadyRunning):
                NameLock.take(directories, "here", "web")

    finally:
        lock.release()


@given(foreign | spoilt(crash()))
@example(json.dumps(crash() | {"when": "0001-01-01T00:00:00Z"}).encode())
@example(json.dumps(crash() | {"generation": 10**400}).encode())
def test_whatever_a_crash_record_holds_the_others_are_read(directories: Directories, data: bytes) -> None:
    store = CrashStore(directories.data)
    store.write(CrashRecord.from_dict(crash()))
    folder = next((directories.data / "crashes").iterdir())
    (folder / "00000002-0123abcd.json").write_bytes(data)

    try:
        first, *more = store.read("web")
        assert first.record == CrashRecord.from_dict(crash())
        assert len(more) <= 1
        assert all(one.record.as_dict()["server"] == "web" for one in more)
    finally:
        shutil.rmtree(directories.data / "crashes")


def test_a_limit_of_the_interpreter_is_met_by_the_examples() -> None:
    """The deepest example would not be one if the reader could go that deep."""
    with pytest.raises(RecursionError):
        json.loads(b"[" * 100_000)
    assert sys.get_int_max_str_digits() < 5000
