"""Doing something as another user, which only root can."""

import os
import tempfile
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest


def as_user(uid: int, action: Callable[[], object]) -> str:
    """What the action answers (or raises) when another user does it, in a process of its own."""
    reading, writing = os.pipe()

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of a fork beside threads: the child needs none
        pid = os.fork()

    if pid == 0:
        os.setgid(uid)
        os.setuid(uid)
        try:
            answer = str(action())
        except Exception as error:  # noqa: BLE001 - the child must not return into pytest
            answer = f"{type(error).__name__}: {error}"
        os.write(writing, answer.encode())
        os._exit(0)

    os.close(writing)

    with os.fdopen(reading) as file:
        answer = file.read()

    os.waitpid(pid, 0)
    return answer


NOBODY = 65534
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can be several users")


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A directory like /tmp: everybody can write to it, nobody may remove what is another's."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o1777)
        yield folder
