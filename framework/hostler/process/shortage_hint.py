"""What to do when the system has run short of something."""

from __future__ import annotations

import errno

_HINTS = {
    errno.EAGAIN: "too many processes: stop some, or raise the limit (ulimit -u)",
    errno.ENOMEM: "free some memory",
    errno.EMFILE: "hostler has too many open files: raise the limit (ulimit -n)",
    errno.ENFILE: "the system has too many open files: close some",
}


def shortage_hint(error: BaseException | None, otherwise: str) -> str:
    """What to do about an error of the system that means a shortage, else `otherwise`."""
    number = error.errno if isinstance(error, OSError) else None
    return _HINTS.get(number or 0, otherwise)
