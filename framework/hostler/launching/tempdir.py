"""Folders for one run, in /tmp, that end with it."""

from __future__ import annotations

import os
from pathlib import Path

from hostler.model.launch import Launch
from hostler.process.disk.trusted_folder import trusted_folder
from hostler.process.spawn.privileges import find_account

_SHORT = "/tmp"  # noqa: S108 - the path must be short: sockets are made in it


def private_folder(launch: Launch, word: str) -> Path:
    """Make an empty folder that only the user of this server can use, and that is removed with the run.

    `word` becomes a part of its name. Raises OSError, also where others could swap it, and
    EnvironmentSetupFailed for a user who does not exist.
    """
    account = find_account(launch.user, launch.group, launch.groups)
    parent = _SHORT if os.access(_SHORT, os.W_OK | os.X_OK) else _usual()
    with trusted_folder(Path(parent)):
        pass

    folder = Path(parent, f"hostler-{word}-{os.urandom(8).hex()}")
    launch.remove_at_end(folder)
    folder.mkdir(mode=0o700)
    folder.chmod(0o700)  # a umask such as 0777 takes even our own bits away

    if account is None:
        return folder

    # What is another's is never removed in a folder that is open to all: so ours stays around it.
    inner = folder / "tmp"
    inner.mkdir(mode=0o700)
    inner.chmod(0o700)
    os.chown(inner, account.uid, account.gid)
    folder.chmod(0o711)
    return inner


def _usual() -> str:
    import tempfile  # noqa: PLC0415 - brings compression

    return tempfile.gettempdir()
