import os
import resource
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hostler.errors import EnvironmentSetupFailed
from hostler.process.disk.directories import Directories, remove_inside, secure_directory
from other_user import as_user

NOBODY = 65534
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can be several users")


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A directory like /tmp: everybody may write in it, nobody may remove what is another's."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o1777)
        yield folder


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

    with pytest.raises(EnvironmentSetupFailed, match="everybody may write") as caught:
        secure_directory(tmp_path)

    assert caught.value.context.hint.startswith(f"chmod o-w {tmp_path}, or choose others with XDG_STATE_HOME")


def test_nothing_is_created_where_everybody_could_take_it_away(tmp_path: Path) -> None:
    tmp_path.chmod(0o777)

    with pytest.raises(EnvironmentSetupFailed, match="everybody may write"):
        secure_directory(tmp_path / "a")

    assert not (tmp_path / "a").exists()


def test_in_a_sticky_directory_for_all_it_is_created(open_folder: Path) -> None:
    assert mode_of(secure_directory(open_folder / "mine")) == 0o700


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
def test_what_roots_directory_forbids_is_told_to_another_user(open_folder: Path) -> None:
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


def test_a_tree_inside_is_removed_and_links_in_it_are_not_followed(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "keep").touch()
    tree = tmp_path / "root" / "run" / "tree"
    tree.mkdir(parents=True)
    (tree / "link").symlink_to(outside)
    assert remove_inside(tree, [tmp_path / "root"])
    assert not tree.exists()
    assert (tmp_path / "root" / "run").is_dir()
    assert (outside / "keep").exists()


def test_a_tree_of_any_depth_is_removed_with_a_few_descriptors(tmp_path: Path) -> None:
    tree = tmp_path / "root" / "tree"
    tree.mkdir(parents=True)
    folder = os.open(tree, os.O_RDONLY)

    for _ in range(3000):
        os.mkdir("hostler-0", dir_fd=folder)
        deeper = os.open("hostler-0", os.O_RDONLY, dir_fd=folder)
        os.close(os.open("file", os.O_CREAT, dir_fd=deeper))
        os.close(folder)
        folder = deeper

    os.close(folder)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (100, hard))

    try:
        assert remove_inside(tree, [tmp_path / "root"])
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))

    assert list((tmp_path / "root").iterdir()) == []


@as_root
def test_read_only_folders_and_odd_names_inside_are_removed(open_folder: Path) -> None:
    tree = open_folder / "tree"

    def remove() -> bool:
        (tree / "cache" / "module").mkdir(parents=True)
        (tree / "cache" / "module" / "file").touch()
        (tree / os.fsdecode(b"\xff\n\x1b[31m")).mkdir()

        for folder in (tree / "cache" / "module", tree / "cache", tree):
            folder.chmod(0o500)

        return remove_inside(tree, [open_folder])

    assert as_user(NOBODY, remove) == "True"
    assert not tree.exists()


@as_root
@pytest.mark.parametrize("kind", [["-t", "tmpfs", "none"], ["--bind"]])
def test_a_disk_that_is_mounted_inside_is_not_emptied(tmp_path: Path, kind: list[str]) -> None:
    other, place = tmp_path / "other", tmp_path / "root" / "tree" / "deep" / "mounted"
    other.mkdir()
    place.mkdir(parents=True)
    source = [*kind, str(other)] if kind == ["--bind"] else kind

    if subprocess.run(["mount", *source, str(place)], check=False, capture_output=True).returncode:
        pytest.skip("nothing can be mounted here")

    try:
        (place / "precious").touch()

        with pytest.raises(EnvironmentSetupFailed, match="is left behind: .*busy"):
            remove_inside(tmp_path / "root" / "tree", [tmp_path / "root"])

        assert [path.name for path in (tmp_path / "root").rglob("precious")] == ["precious"]
    finally:
        (mounted,) = (path.parent for path in (tmp_path / "root").rglob("precious"))
        subprocess.run(["umount", str(mounted)], check=True)


def test_a_link_at_the_path_goes_and_what_it_leads_to_stays(tmp_path: Path) -> None:
    (tmp_path / "precious").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "precious")
    assert remove_inside(tmp_path / "link", [tmp_path])
    assert not (tmp_path / "link").is_symlink()
    assert (tmp_path / "precious").is_dir()


def test_files_sockets_and_missing_paths_are_all_the_same_to_the_caller(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    os.mkfifo(tmp_path / "pipe")
    assert remove_inside(tmp_path / "file", [Path("/proc/nowhere"), tmp_path])
    assert remove_inside(tmp_path / "pipe", [tmp_path])
    assert not remove_inside(tmp_path / "file", [tmp_path])
    assert not remove_inside(tmp_path / "no" / "file", [tmp_path])


def test_a_root_that_is_itself_a_link_counts_under_both_names(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "named").symlink_to("real")
    (tmp_path / "real" / "a").touch()
    (tmp_path / "real" / "b").touch()
    assert remove_inside(tmp_path / "named" / "a", [tmp_path / "named"])
    assert remove_inside(tmp_path / "real" / "b", [tmp_path / "named"])


@pytest.mark.parametrize("path", ["outside/file", "root", "root/../outside/file", "root/way/file"])
def test_nothing_outside_is_removed_by_any_way(tmp_path: Path, path: str) -> None:
    (tmp_path / "root").mkdir()
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "file").touch()
    (tmp_path / "root" / "way").symlink_to(tmp_path / "outside")

    with pytest.raises(EnvironmentSetupFailed, match="is left behind"):
        remove_inside(tmp_path / path, [tmp_path / "root"])

    assert (tmp_path / "outside" / "file").exists()
    assert (tmp_path / "root").exists()


@as_root
def test_what_another_user_made_is_left_to_that_user(tmp_path: Path) -> None:
    (tmp_path / "theirs").mkdir()
    os.chown(tmp_path / "theirs", NOBODY, NOBODY)

    with pytest.raises(EnvironmentSetupFailed, match="belongs to user 65534"):
        remove_inside(tmp_path / "theirs", [tmp_path])

    assert (tmp_path / "theirs").is_dir()
