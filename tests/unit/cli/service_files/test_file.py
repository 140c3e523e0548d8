"""The file of a service on disk."""

from __future__ import annotations

from pathlib import Path

import pytest
from hostler.cli.client.daemon import ClientError
from hostler.cli.service_files.file import is_same, read, remove, write


def test_it_is_written_whole_with_its_mode_in_a_new_folder(tmp_path: Path) -> None:
    path = tmp_path / "systemd" / "user" / "x.service"
    assert read(path) is None
    write(path, "old", mode=0o644)
    write(path, "new", mode=0o600)
    assert (read(path), path.stat().st_mode & 0o777) == ("new", 0o600)
    assert list(path.parent.iterdir()) == [path]
    remove(path)
    assert read(path) is None


def test_a_link_to_nowhere_is_there(tmp_path: Path) -> None:
    path = tmp_path / "x.service"
    path.symlink_to("nothing")
    assert read(path) == ""


def test_what_cannot_be_done_is_told_with_the_remedy(tmp_path: Path) -> None:
    with pytest.raises(ClientError, match=r"/sys/x.service cannot be written: .*\n  what to do: .*--user"):
        write(Path("/sys/x.service"), "", mode=0o644)  # nobody can make a file there, not even root
    folder = tmp_path / "x.service"
    folder.mkdir()
    with pytest.raises(ClientError, match=r"x\.service cannot be read: Is a directory"):
        read(folder)
    with pytest.raises(ClientError, match=r"x\.service cannot be written: Is a directory"):
        write(folder, "", mode=0o644)
    assert list(tmp_path.iterdir()) == [folder]
    with pytest.raises(ClientError, match=r"y\.service cannot be removed: No such file"):
        remove(tmp_path / "y.service")


def test_the_path_of_a_shell_makes_no_difference() -> None:
    assert is_same('a\nEnvironment="PATH=/a"\nb', 'a\nEnvironment="PATH=/b"\nb')
    assert not is_same('a\nEnvironment="PATH=/a"\nb', 'a\nEnvironment="PATH=/a"\nc')
