"""Where the hostler of a configuration is found."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

import pytest
from hostler import Directories
from hostler.control.location import control_folder, locate, locations


def test_it_is_in_the_runtime_folder_if_that_is_ours_alone(tmp_path: Path) -> None:
    (tmp_path / "runtime").mkdir(mode=0o700)
    environ = {"XDG_RUNTIME_DIR": str(tmp_path / "runtime"), "XDG_STATE_HOME": str(tmp_path / "state")}

    assert control_folder(environ) == f"{tmp_path}/runtime/hostler"
    (tmp_path / "runtime").chmod(0o755)
    assert control_folder(environ) == f"{tmp_path}/state/hostler/control"


@pytest.mark.parametrize("chosen", ["", "relative", "/somewhere"])
def test_else_it_is_in_the_state_directory(chosen: str, monkeypatch: pytest.MonkeyPatch) -> None:
    environ = {"XDG_STATE_HOME": chosen}
    assert control_folder(environ) == str(Directories.default(environ).state / "control")


def test_one_configuration_has_one_place_by_whichever_link_it_is_named(tmp_path: Path) -> None:
    (tmp_path / "project").mkdir()
    (tmp_path / "link").symlink_to("project")
    environ = {"XDG_STATE_HOME": str(tmp_path)}

    direct, linked, other = (
        locate(str(tmp_path / name), environ).key
        for name in ("project/hostler.toml", "link/hostler.toml", "project/other.toml")
    )

    assert direct == linked != other
    assert len(direct) == 16


def test_the_lock_alone_says_whether_there_is_one(tmp_path: Path) -> None:
    location = locate("hostler.toml", {"XDG_STATE_HOME": str(tmp_path)})
    Path(location.folder).mkdir(parents=True)
    for path in (location.socket, location.description):
        Path(path).touch()
    assert not location.is_held()

    with Path(location.lock).open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        assert location.is_held()
        assert [one.key for one in locations({"XDG_STATE_HOME": str(tmp_path)})] == [location.key]
    assert not location.is_held()


@pytest.mark.parametrize("text", ["", "[]", "{", '{"pid": 1', "\0"])
def test_a_description_that_makes_no_sense_says_nothing(tmp_path: Path, text: str) -> None:
    location = locate("hostler.toml", {"XDG_STATE_HOME": str(tmp_path)})
    Path(location.folder).mkdir(parents=True)
    Path(location.description).write_text(text)
    assert location.describe() == {}


def test_a_fifo_in_the_place_of_a_file_holds_nobody_up(tmp_path: Path) -> None:
    location = locate("hostler.toml", {"XDG_STATE_HOME": str(tmp_path)})
    Path(location.folder).mkdir(parents=True)
    os.mkfifo(location.description)
    assert location.describe() == {}
