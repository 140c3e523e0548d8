"""What hostler writes is for its user alone, and lands where it should, whatever others planted there."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest
from cli_project import NOTHING, CommandLine, Project, five_plugins
from hostler_plugins.opencode import versions
from hostler_plugins.opencode.file_lock import take_lock
from other_user import open_folder

__all__ = ["open_folder"]


NOBODY = 65534
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can be several users")


def run_with_umask(world: Project, umask: str, file: Path) -> CommandLine:
    shell = ["sh", "-c", 'umask "$0" && exec "$@"', umask]
    return world.start([*shell, sys.executable, "-m", "hostler.cli", "run", str(file), "--json"])


def modes_in(*folders: Path) -> dict[Path, str]:
    """The modes of all that is there: files, folders and sockets."""
    found = {}
    for path in (path for folder in folders for path in (folder, *folder.rglob("*"))):
        with suppress(FileNotFoundError):  # rotated away while we look
            found[path] = stat.filemode(path.lstat().st_mode)
    return found


def open_to_others(*folders: Path) -> dict[Path, str]:
    """What others can get at."""
    return {path: mode for path, mode in modes_in(*folders).items() if not mode.endswith("------")}


@pytest.mark.parametrize("umask", ["0000", "0022", "0777"])
def test_all_that_is_written_in_a_life_is_private_whatever_the_umask(world: Project, umask: str) -> None:
    plugins = five_plugins(log_rotation={"path": "logs/fake.log", "max_size": "1 kB"})
    running = run_with_umask(world, umask, world.fake("--flood", "5000", plugins=plugins))
    server = running.event(event="state", state="running")["pid"]
    own = (world.directories.state, world.directories.data, world.directories.cache)
    private = Path(psutil.Process(server).environ()["TMPDIR"])
    assert modes_in(private)[private] == "drwx------"
    seen = open_to_others(*own, private)
    os.kill(server, signal.SIGKILL)
    running.event(event="state", state="running", generation=2)
    seen |= open_to_others(*own)
    assert running.stop(signal.SIGTERM) == 0
    assert seen == {}
    assert set(modes_in(*own).values()) == {"-rw-------", "drwx------"}

    kinds = {
        path.relative_to(world.home).parts[0] + "/" + path.name.partition(".")[2] for path in world.written()
    }
    assert {"data/log", "data/log.1", "data/json"} <= kinds  # logs, rotated logs, crash records
    assert world.what_is_left() == NOTHING


@pytest.mark.parametrize("mask", [0o000, 0o777])
async def test_what_the_opencode_plugin_remembers_is_private_whatever_the_umask(
    tmp_path: Path, mask: int
) -> None:
    before = os.umask(mask)
    try:
        versions.remember(tmp_path / "opencode" / "versions" / "x.json", versions.Version("1.2.3"))
        (await take_lock(tmp_path / "opencode" / "x.lock")).release()
    finally:
        os.umask(before)
    assert set(modes_in(tmp_path / "opencode").values()) == {"-rw-------", "drwx------"}


# -- planted by another user ----------------------------------------------------------------------


@pytest.fixture
def treasure(tmp_path: Path) -> Iterator[Path]:
    """A file of the user whom hostler runs for; at the end it is as it was, and alone in its folder."""
    file = tmp_path / "treasure" / "file"
    file.parent.mkdir(mode=0o700)
    file.write_text("precious")
    file.chmod(0o640)
    yield file
    assert list(file.parent.iterdir()) == [file]
    assert (file.read_text(), stat.S_IMODE(file.stat().st_mode)) == ("precious", 0o640)


def plants(*command: str | Path) -> None:
    """Do something as another user."""
    subprocess.run(command, user=NOBODY, group=NOBODY, extra_groups=[], umask=0, check=True)


@as_root
@pytest.mark.parametrize("kind", ["state", "data", "cache"])
def test_a_link_in_the_place_of_a_folder_of_hostler_is_refused(
    world: Project, open_folder: Path, treasure: Path, kind: str
) -> None:
    plants("ln", "-s", treasure.parent, open_folder / "planted")
    file = world.fake("--touch", str(world.home / "started"))
    running = world.hostler("run", file, **{f"XDG_{kind.upper()}_HOME": str(open_folder / "planted")})
    assert running.end() == 1
    assert "planted cannot be used: it is a symbolic link that user 65534 made" in "\n".join(running.err)
    assert not (world.home / "started").exists()


@as_root
@pytest.mark.parametrize("kind", ["state", "data", "cache"])
def test_a_folder_of_another_user_in_the_place_of_one_of_hostler_is_refused(
    world: Project, open_folder: Path, treasure: Path, kind: str
) -> None:
    plants("mkdir", open_folder / "planted")
    plants("ln", "-s", treasure.parent, open_folder / "planted" / "hostler")
    running = world.hostler("run", world.fake(), **{f"XDG_{kind.upper()}_HOME": str(open_folder / "planted")})
    assert running.end() == 1
    assert "user 65534" in "\n".join(running.err)


@as_root
@pytest.mark.parametrize("planted", ["a link", "a link on the way", "a file", "a folder"])
def test_a_log_in_a_shared_folder_follows_nothing_that_another_user_planted(
    world: Project, open_folder: Path, treasure: Path, planted: str
) -> None:
    path, words = {
        "a link": ("fake.log", ("ln", "-s", treasure)),
        "a link on the way": ("logs/file", ("ln", "-s", treasure.parent)),
        "a file": ("fake.log", ("touch",)),
        "a folder": ("fake.log", ("mkdir",)),
    }[planted]
    plants(*words, open_folder / path.partition("/")[0])
    file = world.fake(plugins=five_plugins(log_rotation={"path": str(open_folder / path)}))
    running = world.hostler("run", file)
    assert running.end() == 1
    assert f"the log file {open_folder / path} cannot be opened" in "\n".join(running.err)


@as_root
def test_a_rotation_in_a_shared_folder_follows_no_link_that_another_user_planted(
    world: Project, open_folder: Path, treasure: Path
) -> None:
    plants("ln", "-s", treasure, open_folder / "fake.log.1")
    log = {"path": str(open_folder / "fake.log"), "max_size": "1 kB", "keep": 2}
    running = world.hostler(
        "run", world.fake("--flood", "5000", plugins=five_plugins(log_rotation=log)), "--json"
    )
    running.event(event="state", state="running")
    assert running.stop(signal.SIGTERM) == 0
    assert (
        "line 0000000049" in (open_folder / "fake.log").read_text() + (open_folder / "fake.log.1").read_text()
    )
    assert not (open_folder / "fake.log.1").is_symlink()
