"""What is lacking where the system refuses a file, and what to do about it."""

from __future__ import annotations

import errno

NO_DESCRIPTOR = frozenset({errno.EMFILE, errno.ENFILE})
"""The error numbers of a file that cannot be opened for now: there are too many open ones."""

_HINTS = {
    **dict.fromkeys(NO_DESCRIPTOR, "raise the limit of open files (ulimit -n), and start hostler anew"),
    **dict.fromkeys((errno.ENOSPC, errno.EDQUOT), "make room on this disk"),
    errno.EFBIG: "raise the limit of the size of files (ulimit -f)",
}


def hint_for(error: OSError, otherwise: str = "") -> str:
    """What to do about this error, else `otherwise`."""
    return _HINTS.get(error.errno or 0, otherwise)
