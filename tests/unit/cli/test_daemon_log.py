"""The log of a hostler in the background, kept to a bounded size."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hostler.cli.daemon_log import KEPT, LARGEST, DaemonLog, open_log

BLOCK = b"x" * (LARGEST - 1) + b"\n"


@pytest.fixture
def descriptors(tmp_path: Path) -> Iterator[list[int]]:
    """Two, both of the log, as stdout and stderr are."""
    first = open_log(str(tmp_path / "daemon.log"))
    both = [first, os.dup(first)]
    yield both
    for descriptor in both:
        os.close(descriptor)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_all_that_write_go_on_in_a_new_file_and_few_are_kept(tmp_path: Path, descriptors: list[int]) -> None:
    log = DaemonLog(str(tmp_path / "daemon.log"), descriptors)
    for number in range(KEPT + 2):
        os.write(descriptors[0], BLOCK[:-1])
        log.look()
        os.write(descriptors[1], b"%d" % number)
        log.look()
    os.write(descriptors[1], b"last")
    assert names(tmp_path) == ["daemon.log", "daemon.log.1", "daemon.log.2", "daemon.log.3"]
    assert (tmp_path / "daemon.log").read_bytes() == b"last"
    assert (tmp_path / "daemon.log.1").read_bytes()[-1:] == b"%d" % (KEPT + 1)
    assert (tmp_path / "daemon.log").stat().st_mode & 0o777 == 0o600


def test_where_no_new_file_can_be_made_the_old_one_grows_on(tmp_path: Path, descriptors: list[int]) -> None:
    log = DaemonLog(str(tmp_path / "gone" / "daemon.log"), descriptors)
    os.write(descriptors[0], BLOCK)
    log.look()
    (tmp_path / "gone").mkdir()
    os.write(descriptors[1], b"more")
    log.look()
    assert names(tmp_path / "gone") == [], "it does not try again with each line"
    os.write(descriptors[1], BLOCK)
    log.look()
    assert names(tmp_path / "gone") == ["daemon.log"]
    os.write(descriptors[1], b"new")
    assert (tmp_path / "gone" / "daemon.log").read_bytes() == b"new"


def test_what_somebody_else_put_in_its_place_is_not_moved(tmp_path: Path, descriptors: list[int]) -> None:
    log = DaemonLog(str(tmp_path / "daemon.log"), descriptors)
    (tmp_path / "daemon.log").rename(tmp_path / "taken-away")
    (tmp_path / "daemon.log").write_text("another\n")
    os.write(descriptors[0], BLOCK)
    log.look()
    os.write(descriptors[0], b"new\n")
    assert names(tmp_path) == ["daemon.log", "taken-away"]
    assert (tmp_path / "daemon.log").read_text() == "another\nnew\n"
