"""The kernel's keys of a login session (Kerberos, ecryptfs, keyctl), which every child inherits."""

from __future__ import annotations

import os
import sys

_KEYCTL = {"x86_64": 250, "aarch64": 219, "riscv64": 219, "loongarch64": 219, "ppc64le": 271, "s390x": 280}
_JOIN, _SETPERM, _SESSION = 1, 5, -3
_LOOK = 0x0B0B0000  # those in it and its owner may look, and put nothing in


def leave_session_keys() -> None:
    """Give this thread, and what it starts from now on, an empty session keyring that stays empty (Linux).

    Nothing happens where the system has no keys, or this machine's number of the call is not known.
    """
    number = _KEYCTL.get(os.uname().machine)
    if sys.platform != "linux" or number is None or sys.maxsize < 2**32:
        return
    import ctypes  # noqa: PLC0415 - few need it

    call = ctypes.CDLL(None).syscall
    words = [ctypes.c_long(word) for word in (number, _JOIN, 0)]
    if call(*words) > 0:
        call(*(ctypes.c_long(word) for word in (number, _SETPERM, _SESSION, _LOOK)))
