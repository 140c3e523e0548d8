"""Doing something as another user, which only root can."""

import os
import warnings
from collections.abc import Callable


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
