"""Crash records as values and on disk: the last 20, private, whole, and nothing else is believed."""

from __future__ import annotations

import json
import os
import stat
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from crashes import NOON, crash
from hostler import CrashRecord, EnvironmentSetupFailed
from hostler.process.disk.files import file_name, found_folder, own_folder, read_small
from hostler.records.crash_store import CrashStore


@pytest.fixture
def store(tmp_path: Path) -> CrashStore:
    return CrashStore(tmp_path / "data")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "data" / "crashes" / "fake"


def test_a_record_is_the_same_after_json() -> None:
    assert CrashRecord.from_dict(json.loads(json.dumps(crash().as_dict()))) == crash()


def test_keys_of_a_later_version_are_left_out_and_missing_ones_have_defaults() -> None:
    values = crash().as_dict() | {"moon": "full"}
    del values["memory"], values["hint"]
    assert CrashRecord.from_dict(values) == crash(memory=(), hint="")


@pytest.mark.parametrize(
    "changes",
    [
        {"when": "yesterday"},
        {"when": "2026-01-02T03:04:05"},
        {"when": "0001-01-01T00:00:00Z"},
        {"next_try": "9999-01-01T00:00:00Z"},
        {"cause": "boredom"},
        {"outcome": "asleep"},
        {"code": "3"},
        {"memory": [{"uptime": 1}]},
        {"plugins": "none"},
        {"server": None},
    ],
)
def test_what_is_no_record_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="."):
        CrashRecord.from_dict(crash().as_dict() | changes)


def test_every_text_is_masked_and_the_name_is_not() -> None:
    record = crash(server="sesame", stdout="sesame 1", stderr="sesame 2", decision="sesame 3")
    words = tuple(replace(word, text="sesame 4") for word in record.plugins)
    masked = replace(record, plugins=words).masked(lambda text: text.replace("sesame", "***"))
    assert str(masked.as_dict()).count("sesame") == 1
    assert masked.server == "sesame"
    assert masked.plugins[0].text == "*** 4"


def test_the_last_twenty_are_kept_and_keep_their_numbers(store: CrashStore, folder: Path) -> None:
    for generation in range(1, 26):
        store.write(crash(generation=generation))
    found = store.read("fake")
    assert [number for number, _ in found] == list(range(6, 26))
    assert [record.generation for _, record in found] == list(range(6, 26))
    assert len(list(folder.iterdir())) == 20


def test_the_place_of_the_oldest_is_taken_unless_that_is_not_ours_alone(
    store: CrashStore, folder: Path, tmp_path: Path
) -> None:
    for generation in range(1, 21):
        store.write(crash(generation=generation, stdout="long\n" * 500))
    places = {path.stat().st_ino for path in folder.iterdir()}
    store.write(crash(generation=21, stdout="short"))
    assert {path.stat().st_ino for path in folder.iterdir()} == places
    assert store.read("fake")[-1].record == crash(generation=21, stdout="short")

    mine = tmp_path / "mine"
    mine.write_text("precious")
    mine.chmod(0o600)
    oldest = min(folder.iterdir())
    oldest.unlink()
    os.link(mine, oldest)
    store.write(crash(generation=22))
    assert [record.generation for _, record in store.read("fake")] == list(range(3, 23))
    assert mine.read_text() == "precious"


def test_the_clock_may_go_back(store: CrashStore) -> None:
    for year in (2040, 2026):
        store.write(crash(when=NOON.replace(year=year)))
    assert [record.when.year for _, record in store.read("fake")] == [2040, 2026]


def test_files_and_folders_are_private_whatever_the_umask(store: CrashStore, folder: Path) -> None:
    before = os.umask(0)

    try:
        store.write(crash())
        os.umask(0o777)
        store.write(crash(server="other"))
    finally:
        os.umask(before)

    for path in (folder, folder.parent, folder.parent / "other"):
        assert stat.S_IMODE(path.stat().st_mode) == 0o700

    files = [path for path in folder.parent.rglob("*") if path.is_file()]
    assert [stat.S_IMODE(path.stat().st_mode) for path in files] == [0o600, 0o600]


def test_a_folder_that_others_could_read_is_closed(store: CrashStore, folder: Path) -> None:
    folder.mkdir(parents=True)
    folder.chmod(0o755)
    store.write(crash())
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


@pytest.mark.parametrize("part", ["crashes", "crashes/fake"])
def test_a_planted_link_is_not_followed(store: CrashStore, tmp_path: Path, part: str) -> None:
    elsewhere = tmp_path / "elsewhere"
    (elsewhere / "fake").mkdir(parents=True)
    link = tmp_path / "data" / part
    link.parent.mkdir(parents=True, mode=0o700)
    link.symlink_to(elsewhere)

    with pytest.raises(OSError, match=r"symbolic link|Not a directory"):
        store.write(crash())

    assert [path for path in elsewhere.rglob("*") if path.is_file()] == []
    assert store.read("fake") == []


def test_a_data_directory_that_is_not_to_be_trusted_is_refused(store: CrashStore, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data").chmod(0o777)
    with pytest.raises(EnvironmentSetupFailed, match="everybody can write to it"):
        store.write(crash())


def test_what_is_torn_or_foreign_is_left_out_and_left_alone(store: CrashStore, folder: Path) -> None:
    store.write(crash())
    whole = next(folder.iterdir())
    text = whole.read_text()
    (folder / "00000002-00000002.json").write_text(text[: len(text) // 2])
    (folder / "00000003-00000003.json").write_text("")
    (folder / "00000004-00000004.json").write_bytes(b"\xff\xfe\x00")
    (folder / "00000005-00000005.json").write_text("[" * 100_000)
    (folder / "00000006-00000006.json").symlink_to(whole)
    (folder / "00000007-00000007.json").mkdir()
    os.mkfifo(folder / "00000008-00000008.json")
    (folder / "00000009-00000009.json").write_text(json.dumps(crash(server="other").as_dict()))
    (folder / "notes.txt").write_text("mine")
    (folder / "copy.json").write_text(text)
    assert store.read("fake") == [(1, crash())]
    store.write(crash(generation=2))
    assert [number for number, _ in store.read("fake")] == [1, 10]
    assert (folder / "notes.txt").read_text() == "mine"
    assert (folder / "copy.json").exists()


def test_a_huge_file_is_not_read(tmp_path: Path) -> None:
    with own_folder(tmp_path, "in") as folder:
        os.truncate(os.open("big", os.O_CREAT | os.O_WRONLY, 0o600, dir_fd=folder), 2**30)
        with pytest.raises(OSError, match="not a small regular file"):
            read_small("big", folder)


def test_what_a_killed_writer_left_is_removed_later(store: CrashStore, folder: Path) -> None:
    store.write(crash())
    old, new = folder / "00000009-0123abcd.json.tmp", folder / "00000009-4567abcd.json.tmp"
    for path in (old, new):
        path.write_text("{")
    os.utime(old, (1, 1))
    store.write(crash())
    assert (old.exists(), new.exists()) == (False, True)
    assert len(store.read("fake")) == 2


def test_nothing_is_found_where_nothing_is(store: CrashStore, tmp_path: Path) -> None:
    assert store.read("fake") == []
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(FileNotFoundError), found_folder(tmp_path, "a", "b"):
        pass


@pytest.mark.parametrize("name", ["../x", "a/b", "", ".", "x" * 65, "\udcff", "ä"])
def test_any_name_has_files_of_its_own_inside(store: CrashStore, tmp_path: Path, name: str) -> None:
    store.write(crash(server=name))
    store.write(crash(server=name + "2"))
    assert [record.server for _, record in store.read(name)] == [name]
    assert file_name(name) != file_name(name + "2")
    inside = tmp_path / "data" / "crashes"
    assert all(inside in path.parents for path in tmp_path.rglob("*.json"))
