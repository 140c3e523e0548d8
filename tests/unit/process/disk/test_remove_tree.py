"""Trees of files that are removed: whatever is in them goes, and nothing outside."""

import os
import resource
import subprocess
from pathlib import Path

import pytest
from hostler.errors import EnvironmentSetupFailed
from hostler.process.disk.remove_tree import remove_inside
from other_user import NOBODY, as_root, as_user, open_folder

__all__ = ["open_folder"]


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
