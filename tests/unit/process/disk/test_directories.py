import os
import pwd
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hostler.errors import EnvironmentSetupFailed
from hostler.process.disk.directories import Directories, SecuredFolders, secure_directory
from other_user import NOBODY, as_root, as_user, open_folder

__all__ = ["open_folder"]


@contextmanager
def umask(mask: int) -> Iterator[None]:
    before = os.umask(mask)
    try:
        yield
    finally:
        os.umask(before)


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.mark.parametrize("mask", [0o000, 0o022, 0o777])
def test_what_is_created_is_private_whatever_the_umask(tmp_path: Path, mask: int) -> None:
    with umask(mask):
        made = secure_directory(tmp_path / "a" / "b")
    assert made == tmp_path / "a" / "b"
    assert mode_of(tmp_path / "a") == 0o700
    assert mode_of(tmp_path / "a" / "b") == 0o700


def test_a_directory_that_is_there_is_left_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a").chmod(0o755)
    assert secure_directory(tmp_path / "a") == tmp_path / "a"
    assert mode_of(tmp_path / "a") == 0o755


def test_a_relative_directory_comes_back_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert secure_directory(Path("a")) == tmp_path / "a"


def test_a_link_of_our_own_is_followed(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    secure_directory(tmp_path / "link" / "inner")
    assert (tmp_path / "real" / "inner").is_dir()
    assert secure_directory(tmp_path / "link") == tmp_path / "link"


def test_a_directory_in_which_everybody_writes_is_refused_with_the_remedy(tmp_path: Path) -> None:
    tmp_path.chmod(0o1777)
    with pytest.raises(EnvironmentSetupFailed, match="everybody can write") as caught:
        secure_directory(tmp_path)
    assert caught.value.context.hint.startswith(f"chmod o-w {tmp_path}, or choose others with XDG_STATE_HOME")


def test_nothing_is_created_where_everybody_could_take_it_away(tmp_path: Path) -> None:
    tmp_path.chmod(0o777)
    with pytest.raises(EnvironmentSetupFailed, match="everybody can write"):
        secure_directory(tmp_path / "a")
    assert not (tmp_path / "a").exists()


def test_in_a_sticky_directory_for_all_it_is_created(open_folder: Path) -> None:
    assert mode_of(secure_directory(open_folder / "mine")) == 0o700


def test_one_that_was_found_in_order_is_looked_at_anew_when_it_is_another_or_has_other_rights(
    tmp_path: Path,
) -> None:
    folders, path = SecuredFolders(), tmp_path / "a"
    assert folders.secure(path) == folders.secure(path) == path
    path.rmdir()
    folders.secure(path)
    assert mode_of(path) == 0o700
    path.chmod(0o777)
    with pytest.raises(EnvironmentSetupFailed, match="everybody can write"):
        folders.secure(path)
    path.rename(tmp_path / "b")
    path.touch()
    with pytest.raises(EnvironmentSetupFailed, match="Not a directory"):
        folders.secure(path)


def test_a_file_in_the_way_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(EnvironmentSetupFailed, match="Not a directory"):
        secure_directory(tmp_path / "file")
    with pytest.raises(EnvironmentSetupFailed, match="Not a directory"):
        secure_directory(tmp_path / "file" / "inner")


def test_a_dangling_link_is_an_error_that_names_the_path(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("nowhere")
    with pytest.raises(EnvironmentSetupFailed, match=r"link cannot be used: No such file"):
        secure_directory(tmp_path / "link")


@as_root
def test_a_link_that_another_user_planted_is_refused(open_folder: Path, tmp_path: Path) -> None:
    link = open_folder / "hostler"
    link.symlink_to(tmp_path)
    os.lchown(link, NOBODY, NOBODY)
    for path in (link, link / "runs"):
        with pytest.raises(EnvironmentSetupFailed, match="symbolic link that user 65534 made"):
            secure_directory(path)
    assert not list(tmp_path.iterdir())


@as_root
def test_a_directory_of_another_user_is_refused_and_nothing_is_created_in_it(open_folder: Path) -> None:
    theirs = open_folder / "hostler"
    theirs.mkdir()
    os.chown(theirs, NOBODY, NOBODY)
    for path in (theirs, theirs / "runs"):
        with pytest.raises(EnvironmentSetupFailed, match="belongs to user 65534"):
            secure_directory(path)
    assert not list(theirs.iterdir())


@as_root
def test_what_roots_directory_forbids_is_reported_to_another_user(open_folder: Path) -> None:
    (open_folder / "shut").mkdir(mode=0o755)
    (open_folder / "dark").mkdir(mode=0o700)
    assert "EnvironmentSetupFailed" in as_user(NOBODY, lambda: secure_directory(open_folder / "shut"))
    assert "not writable" in as_user(NOBODY, lambda: secure_directory(open_folder / "shut"))
    assert "Permission denied" in as_user(NOBODY, lambda: secure_directory(open_folder / "shut" / "inner"))
    assert "Permission denied" in as_user(NOBODY, lambda: secure_directory(open_folder / "dark" / "inner"))
    assert as_user(NOBODY, lambda: secure_directory(open_folder / "own")) == str(open_folder / "own")


def test_processes_that_create_the_same_directory_all_get_it(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path\n"
        "from hostler.process.disk.directories import secure_directory; "
        "sys.stdin.read(); [secure_directory(Path(sys.argv[1], str(i), 'x')) for i in range(200)]"
    )
    argv = [sys.executable, "-c", code, str(tmp_path)]
    children = [subprocess.Popen(argv, stdin=subprocess.PIPE) for _ in range(3)]
    for child in children:
        assert child.stdin is not None
        child.stdin.close()

    assert [child.wait(30) for child in children] == [0, 0, 0]


def test_the_xdg_variables_choose_the_directories() -> None:
    environ = {"XDG_STATE_HOME": "/s", "XDG_DATA_HOME": "/d", "XDG_CACHE_HOME": "/c"}
    assert Directories.default(environ) == Directories(
        Path("/s/hostler"), Path("/d/hostler"), Path("/c/hostler")
    )


def test_relative_and_empty_xdg_variables_are_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("XDG_STATE_HOME", "XDG_DATA_HOME", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", "/home/somebody")
    found = Directories.default({"XDG_STATE_HOME": "state", "XDG_CACHE_HOME": ""})
    assert {path.name for path in (found.state, found.data, found.cache)} == {"hostler"}
    assert all(Path("/home/somebody") in path.parents for path in (found.state, found.data, found.cache))

    monkeypatch.setenv("HOME", "somewhere")
    assert Directories.default({}).state.is_relative_to(pwd.getpwuid(os.getuid()).pw_dir)


@as_root
def test_without_a_home_directory_the_variables_to_set_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HOME", "XDG_STATE_HOME", "XDG_DATA_HOME", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    Directories.default()  # another user may not be allowed to read the libraries: import them now
    answer = as_user(12345, Directories.default)
    assert "EnvironmentSetupFailed: there is no home directory" in answer
    assert "XDG_STATE_HOME" in answer


def test_the_data_folder_of_a_configuration_can_be_recognised_and_is_its_own() -> None:
    directories = Directories(Path("/s"), Path("/d"), Path("/c"))
    first = directories.data_for("/home/me/my app/hostler.toml")
    second = directories.data_for("/home/you/my app/hostler.toml")
    assert first.parent == second.parent == Path("/d")
    assert first.name.startswith("my-app-hostler-")
    assert first != second
    assert first == directories.data_for("/home/me/my app/hostler.toml")


@pytest.mark.parametrize("namespace", ["", "/", "../../..", "/\udcff/\n.toml", "/x/" + "long" * 100])
def test_the_data_folder_is_one_plain_name_for_any_namespace(namespace: str) -> None:
    found = Directories(Path("/s"), Path("/d"), Path("/c")).data_for(namespace)
    assert found.parent == Path("/d")
    assert len(found.name) <= 80
    assert not found.name.startswith((".", "-"))
    assert found.name.isprintable()
