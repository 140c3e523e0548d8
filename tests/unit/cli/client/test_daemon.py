"""A hostler as the client commands find it."""

from __future__ import annotations

import fcntl
import socket
from pathlib import Path

import pytest
from controlled import short_folder
from hostler.cli.client import daemon, transport
from hostler.cli.client.daemon import ClientError, Daemon, Deadline
from hostler.control.location import locate


def test_one_that_hangs_while_it_ends_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (daemon, transport):
        monkeypatch.setattr(module, "SILENCE", 0.2)
    with short_folder() as folder:
        location = locate("hostler.toml", {"XDG_STATE_HOME": str(folder)})
        Path(location.folder).mkdir(parents=True)
        with Path(location.lock).open("w") as held, socket.socket(socket.AF_UNIX) as listener:
            fcntl.flock(held, fcntl.LOCK_EX)
            hostler = Daemon(location)
            assert hostler.outlives(Deadline(0.3))  # as long as there is no socket any more
            listener.bind(location.socket)
            listener.listen()
            with pytest.raises(ClientError, match="has not answered for 0.2 s") as caught:
                hostler.outlives(Deadline(60))
            assert caught.value.code == 5
            fcntl.flock(held, fcntl.LOCK_UN)
            assert not hostler.outlives(Deadline(60))
