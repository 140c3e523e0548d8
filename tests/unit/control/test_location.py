"""Where the hostler of a configuration is found."""

from __future__ import annotations

import fcntl
import os
import subprocess
from hashlib import sha256
from pathlib import Path

import pytest
from hostler import Directories
from hostler.config.source.read import Source
from hostler.control import location
from hostler.control.location import control_folder, locate, locations
from hostler.process.disk.namespace import remember_namespace, resolve_namespace


def test_it_is_in_the_runtime_folder_if_that_is_ours_alone(tmp_path: Path) -> None:
    (tmp_path / "runtime").mkdir(mode=0o700)
    environ = {"XDG_RUNTIME_DIR": str(tmp_path / "runtime"), "XDG_STATE_HOME": str(tmp_path / "state")}

    assert control_folder(environ) == f"{tmp_path}/runtime/hostler"
    (tmp_path / "runtime").chmod(0o755)
    assert control_folder(environ) == f"{tmp_path}/state/hostler/control"


@pytest.mark.parametrize("home", ["", "relative", "/home/somebody"])
@pytest.mark.parametrize("chosen", ["", "relative", "/somewhere"])
def test_else_it_is_in_the_state_directory(chosen: str, home: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", home)
    environ = {"XDG_STATE_HOME": chosen}
    assert control_folder(environ) == str(Directories.default(environ).state / "control")


def test_the_lock_is_looked_for_in_both_folders(tmp_path: Path) -> None:
    """The hostler may have been started with another environment than that of cron or ssh."""
    (tmp_path / "runtime").mkdir(mode=0o700)
    cron = {"XDG_STATE_HOME": str(tmp_path / "state")}
    login = cron | {"XDG_RUNTIME_DIR": str(tmp_path / "runtime")}
    for known in locate("hostler.toml", login).everywhere:
        Path(known.folder).mkdir(parents=True)
        Path(known.description).write_text(f'{{"socket": "{known.folder}"}}')
        with Path(known.lock).open("w") as held:
            held.write('{"pid": 7}')
            held.flush()
            fcntl.flock(held, fcntl.LOCK_EX)
            for environ in (cron, login) if known.folder.startswith(cron["XDG_STATE_HOME"]) else (login,):
                found = locate("hostler.toml", environ)
                assert found.is_held()
                assert (found.owner(), found.describe()) == ({"pid": 7}, {"socket": known.folder})
                assert [one.key for one in locations(environ)] == [found.key]


def test_the_key_is_that_of_the_namespace_of_the_locks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "project").mkdir()
    (tmp_path / "project" / "hostler.toml").touch()
    for link in ("link", "other"):
        (tmp_path / link).symlink_to("project")
    monkeypatch.chdir(tmp_path / "link")
    environ = {f"XDG_{name}_HOME": str(tmp_path / name) for name in ("STATE", "DATA", "CACHE")}
    directories = Directories.default(environ)
    ways = ["project/hostler.toml", "link/hostler.toml", "other/../link/hostler.toml", "project/x.toml"]

    def agree() -> None:
        for folder in (tmp_path, tmp_path / "link"):
            monkeypatch.setenv("PWD", str(folder))
            for file in (*(str(tmp_path / way) for way in ways), "hostler.toml"):
                namespace = resolve_namespace(directories, Source(Path(file)).namespace)
                assert locate(file, environ).key == sha256(namespace.encode()).hexdigest()[:16]

    agree()
    remember_namespace(directories, str(tmp_path / "link" / "hostler.toml"))  # run by this way first
    agree()
    assert locate(str(tmp_path / ways[0]), environ).key == locate(str(tmp_path / ways[1]), environ).key
    directories.data_for(str(tmp_path / "project" / "x.toml")).mkdir(parents=True)
    ways += ["link/x.toml", "other/x.toml"]
    agree()
    (tmp_path / "link").unlink()
    (tmp_path / "link").symlink_to(tmp_path)  # turned over
    agree()


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


@pytest.mark.parametrize("proc", ["/proc", "/nowhere"])
def test_a_process_is_known_by_its_start_on_each_system(proc: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(location, "_PROC", proc)
    child = subprocess.Popen(["sleep", "60"])
    began = location.start_time(child.pid)
    assert began is not None
    assert location.start_time(child.pid) == began != location.start_time(1)
    child.kill()
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    assert location.start_time(child.pid) is None  # the first process of a container may be slow to reap it
    child.wait()
    assert location.start_time(child.pid) is None
