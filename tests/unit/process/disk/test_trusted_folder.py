"""Folders: who may have made them, and who may change them, on the whole way."""

import grp
import os
import pwd
import struct
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hostler.files.trusted_path import other_writers, read_as
from hostler.process.disk.trusted_folder import Untrusted, trusted_folder
from other_user import as_user

OURS, THEIRS = 2001, 2002
NOGROUP = 65534  # other accounts have it as their own: nobody, sync
ACCESS = "system.posix_acl_access"

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can be several users")


@pytest.fixture
def base() -> Iterator[Path]:
    """A folder of root that every user can go into."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        yield Path(os.path.realpath(name))


def folder(path: Path, owner: int, mode: int = 0o755, group: int | None = None) -> Path:
    path.mkdir()
    os.chown(path, owner, owner if group is None else group)
    path.chmod(mode)
    return path


def opened(path: Path) -> str:
    """What becomes of it for our user: the folder that was made and opened, or why it was not."""

    def attempt() -> str:
        with trusted_folder(path, make=True) as descriptor:
            return str(Path(f"/proc/self/fd/{descriptor}").readlink())

    return as_user(OURS, attempt)


def link(path: Path, target: Path, owner: int) -> None:
    path.symlink_to(target)
    os.lchown(path, owner, owner)


USER, GROUP = 0x02, 0x08  # the kinds of an access list


def with_access_list(path: Path, named: int, kind: int = USER, rights: int = 7) -> None:
    """Give a user or a group rights in a folder whose mode says that its group may write."""
    nobody = 0xFFFFFFFF
    entries = [(0x01, 7, nobody), (0x04, 5, nobody), (0x10, 7, nobody), (0x20, 5, nobody)]
    entries = sorted([*entries, (kind, rights, named)])
    data = struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *entry) for entry in entries)
    try:
        os.setxattr(path, ACCESS, data)
    except OSError:
        pytest.skip("this file system has no access lists")


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda x: folder(x, THEIRS), f"it belongs to user {THEIRS}"),
        (lambda x: folder(x, OURS, 0o777), "everybody can write to it"),
        (lambda x: folder(x, 0, 0o777), "everybody can write to it"),
        (lambda x: folder(x, OURS, 0o775, NOGROUP), " may write in it, by its group"),
        (
            lambda x: with_access_list(folder(x, OURS), THEIRS),
            "others can write to it through its access list",
        ),
        (
            lambda x: with_access_list(folder(x, OURS), THEIRS, GROUP),
            "others can write to it through its access list",
        ),
        (lambda x: link(x, x.parent, THEIRS), f"it is a symbolic link that user {THEIRS} made"),
    ],
    ids=[
        "of another",
        "open to all",
        "root's, open to all",
        "shared group",
        "access list",
        "its group",
        "link",
    ],
)
@pytest.mark.parametrize("below", ["", "mine", "mine/new"])
def test_a_way_that_another_user_made_or_can_change_is_refused_wherever_it_is(
    base: Path, make: Callable[[Path], object], reason: str, below: str
) -> None:
    make(base / "x")
    if below and not (base / "x").is_symlink():
        folder(base / "x" / "mine", OURS)
    told = opened(base / "x" / below)
    assert f"{base / 'x'}: " in told
    assert reason in told
    assert not (base / "x" / "mine" / "new").exists()


@pytest.mark.parametrize(
    ("mode", "owner", "group"),
    [(0o755, 0, 0), (0o775, 0, NOGROUP), (0o1777, 0, 0), (0o755, OURS, OURS), (0o775, OURS, OURS)],
    ids=["root's", "root's with a group", "like /tmp", "our own", "our own with a group of our own"],
)
def test_a_way_of_root_and_our_own_is_gone_and_its_links_are_followed(
    base: Path, mode: int, owner: int, group: int
) -> None:
    folder(base / "x", owner, mode, group)
    folder(base / "x" / "mine", OURS)
    link(base / "x" / "link", Path("mine/../mine"), OURS)
    link(base / "link", base / "x", 0)
    made = base / "x" / "mine" / "a" / "b"
    assert opened(base / "link" / "link" / "a" / "b") == str(made)
    assert (made.stat().st_uid, made.stat().st_mode & 0o7777) == (OURS, 0o700)


def test_links_in_a_circle_are_an_error(base: Path) -> None:
    link(base / "a", base / "b", 0)
    link(base / "b", base / "a", 0)
    assert "Too many levels of symbolic links" in opened(base / "a")


def test_nothing_is_made_where_a_link_leads(base: Path) -> None:
    folder(base / "x", OURS)
    link(base / "x" / "link", Path("gone"), OURS)
    assert "No such file" in opened(base / "x" / "link" / "new")
    assert not (base / "x" / "gone").exists()


def test_the_part_that_is_missing_is_named(base: Path) -> None:
    with pytest.raises(FileNotFoundError) as caught, trusted_folder(base / "a" / "b"):
        pass
    assert caught.value.filename == str(base / "a")
    assert not isinstance(caught.value, Untrusted)


def test_an_access_list_that_lets_others_read_alone_is_no_obstacle(base: Path) -> None:
    with_access_list(folder(base / "x", OURS), THEIRS, rights=5)
    assert opened(base / "x") == str(base / "x")


@pytest.mark.parametrize("name", ["daemon", "no-account-yet"])
def test_a_group_of_which_another_user_is_a_member_is_refused(
    name: str, base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No account is made for it."""
    group = grp.struct_group(("ours", "x", OURS, [name]))
    monkeypatch.setattr(grp, "getgrgid", lambda _: group)
    folder(base / "x", OURS, 0o775)
    assert f"user {name} may write in it, by its group" in opened(base / "x")


def test_we_ourselves_are_no_outsiders_and_a_group_that_may_write_is(base: Path) -> None:
    ours, shared = folder(base / "ours", OURS), folder(base / "shared", 0, 0o775, NOGROUP)
    assert as_user(OURS, lambda: other_writers(ours)) == "set()"
    nobody = pwd.getpwnam("nobody")
    assert nobody.pw_gid == NOGROUP
    assert nobody.pw_uid in other_writers(shared)


def test_who_may_write_by_an_access_list_is_an_outsider(base: Path) -> None:
    with_access_list(folder(base / "user", 0), THEIRS)
    with_access_list(folder(base / "group", 0), NOGROUP, GROUP)
    with_access_list(folder(base / "reader", 0), THEIRS, rights=5)
    assert other_writers(base / "user" / ".." / "user") == {THEIRS}
    assert pwd.getpwnam("nobody").pw_uid in other_writers(base / "group")
    assert other_writers(base / "reader") == set()


def test_what_is_read_as_another_user_is_read_with_the_groups_of_that_user(base: Path) -> None:
    file = base / "file"
    file.write_text("text")
    os.chown(file, 0, THEIRS)
    file.chmod(0o640)
    assert read_as(OURS, OURS, [THEIRS], file, 100) == b"text"
    with pytest.raises(PermissionError):
        read_as(OURS, OURS, [], file, 100)
