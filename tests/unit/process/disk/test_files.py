"""Files in folders of our own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hostler.process.disk import files
from hostler.process.disk.files import KeptFolder, own_folder


def test_a_folder_that_is_replaced_while_it_is_opened_is_opened_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path / "status"
    place.mkdir(mode=0o700)

    @contextmanager
    def replaced(root: Path, *parts: str) -> Iterator[int]:  # nothing real hits the moment behind it
        with own_folder(root, *parts) as folder:
            place.rename(tmp_path / "old")
            place.mkdir(mode=0o700)
            yield folder

    kept = KeptFolder(tmp_path, "status")
    with monkeypatch.context() as patch:
        patch.setattr(files, "own_folder", replaced)
        kept.open()
    files.write_new("one", b"", kept.open())
    kept.close()
    assert [one.name for one in place.iterdir()] == ["one"]
    assert list(tmp_path.joinpath("old").iterdir()) == []
