"""What tests of bundled plugins share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from controlled import short_folder
from hostler.launching import tempdir


@pytest.fixture
def no_socket_folder_is_left(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The temporary folders of this test are its own, and none of `notify-ready` stays."""
    with short_folder() as folder:
        folder.chmod(0o755)  # servers of another user have to reach them, as in /tmp
        monkeypatch.setattr(tempdir, "_SHORT", str(folder))
        yield
        assert list(folder.glob("hostler-notify-*")) == []
