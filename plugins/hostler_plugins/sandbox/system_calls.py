"""A filter that refuses user namespaces to a server in a sandbox.

The kernel refuses to replace a file that another one is mounted over in the namespace of that mount alone. In
a user namespace of its own a server could leave that one, replace the file, and have the mount removed.
"""

from __future__ import annotations

import errno
import struct

_ABIS = (  # the number of the architecture (linux/audit.h), of clone and of unshare
    (0xC000003E, 56, 272),  # x86_64
    (0x40000003, 120, 310),  # i386
    (0xC00000B7, 220, 97),  # aarch64
    (0x40000028, 120, 337),  # arm
    (0xC00000F3, 220, 97),  # riscv64
    (0xC0000015, 120, 282),  # ppc64le
)
MACHINES = frozenset({"x86_64", "aarch64", "riscv64", "ppc64le"})
_CLONE3, _X32 = 435, 0x40000000
_NEW_USER = 0x10000000
_NUMBER, _ARCHITECTURE, _FIRST_ARGUMENT = 0, 4, 16  # where they are in struct seccomp_data
_LOAD, _IF_EQUAL, _IF_AT_LEAST, _IF_BITS, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_ALLOW, _REFUSE = 0x7FFF0000, 0x00050000


def without_user_namespaces() -> bytes:
    """The program for seccomp: what makes a user namespace fails with EPERM.

    clone3, whose flags no filter can see, and the calls of unknown systems are said not to exist.
    """
    program = [step for abi in _ABIS for step in _of_abi(*abi)]
    program.append((_RETURN, 0, 0, _REFUSE | errno.ENOSYS))
    return b"".join(struct.pack("=HBBI", *step) for step in program)


def _of_abi(architecture: int, clone: int, unshare: int) -> list[tuple[int, int, int, int]]:
    """Steps with how many of the next ones are left out if their condition holds, and if not."""
    return [
        (_LOAD, 0, 0, _ARCHITECTURE),
        (_IF_EQUAL, 0, 10, architecture),
        (_LOAD, 0, 0, _NUMBER),
        (_IF_AT_LEAST, 7, 0, _X32),
        (_IF_EQUAL, 6, 0, _CLONE3),
        (_IF_EQUAL, 1, 0, clone),
        (_IF_EQUAL, 0, 2, unshare),
        (_LOAD, 0, 0, _FIRST_ARGUMENT),
        (_IF_BITS, 1, 0, _NEW_USER),
        (_RETURN, 0, 0, _ALLOW),
        (_RETURN, 0, 0, _REFUSE | errno.EPERM),
        (_RETURN, 0, 0, _REFUSE | errno.ENOSYS),
    ]
