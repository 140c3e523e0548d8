"""Which paths are mounted in a sandbox."""

from __future__ import annotations

from pathlib import Path

import pytest
from hostler import (
    EnvironmentSetupFailed,
)
from hostler_plugins.sandbox.paths import Access, Place, arrange, expanded, mounts, real_path


def test_a_tilde_is_each_home_there_is() -> None:
    assert expanded(["~", "~/a", "/b"], "/home/x", "", "/home/y", "/home/y") == [
        Path("/home/x"),
        Path("/home/y"),
        Path("/home/x/a"),
        Path("/home/y/a"),
        Path("/b"),
    ]


def test_places_are_made_real_and_those_that_change_nothing_are_left_out(tmp_path: Path) -> None:
    for name in ("w/in/deep", "h"):
        (tmp_path / name).mkdir(parents=True)

    (tmp_path / "link").symlink_to("w")
    places = arrange(
        [
            Place(tmp_path / "w" / "in", Access.WRITE),
            Place(tmp_path / "link", Access.WRITE),
            Place(tmp_path / "nowhere", Access.HIDDEN),
            Place(tmp_path / "h", Access.READ),
            Place(tmp_path / "w" / "in" / "deep", Access.HIDDEN),
        ]
    )
    real = tmp_path.resolve()
    assert places == [
        Place(real / "w", Access.WRITE),
        Place(real / "w" / "in" / "deep", Access.HIDDEN),
    ]


def test_of_two_words_about_one_place_the_last_counts(tmp_path: Path) -> None:
    assert arrange([Place(tmp_path, Access.HIDDEN), Place(tmp_path, Access.WRITE)]) == [
        Place(tmp_path.resolve(), Access.WRITE)
    ]


def test_hidden_folders_are_closed_when_all_that_is_shown_in_them_has_its_place(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "file").touch()
    hidden, shown, file = (
        Place(tmp_path, Access.HIDDEN),
        Place(tmp_path / "in", Access.READ),
        tmp_path / "file",
    )
    words = list(mounts([hidden, shown, Place(file, Access.HIDDEN)]))
    assert words == [
        *("--tmpfs", str(tmp_path), "--ro-bind", str(tmp_path / "in"), str(tmp_path / "in")),
        *("--ro-bind", "/dev/null", str(file), "--remount-ro", str(tmp_path)),
    ]


@pytest.mark.parametrize("place", ["link", "deep/er/link"])
def test_a_link_anywhere_below_where_the_server_may_write_is_not_followed(tmp_path: Path, place: str) -> None:
    (tmp_path / place).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / place).symlink_to("/etc")
    with pytest.raises(EnvironmentSetupFailed, match="is a link in a folder that the server may write to"):
        real_path(tmp_path / place / "passwd", [tmp_path])
    assert real_path(tmp_path / place / "passwd", []) == Path("/etc/passwd")
