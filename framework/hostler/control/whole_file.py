"""Private files that others see whole or not at all."""

from __future__ import annotations

import os
from contextlib import suppress

_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


def write_whole(path: str, data: bytes) -> None:
    """Put a file that only we can read in the place of what is there, a link too. Raises OSError."""
    unfinished = f"{path}.{os.getpid()}"
    with suppress(FileNotFoundError):
        os.unlink(unfinished)
    try:
        with open(os.open(unfinished, _NEW, 0o600), "wb") as file:
            file.write(data)
        os.rename(unfinished, path)
    except BaseException as error:
        with suppress(OSError):
            os.unlink(unfinished)
        if isinstance(error, OSError) and error.filename is None:  # of a full disk
            error.filename = path
        raise
