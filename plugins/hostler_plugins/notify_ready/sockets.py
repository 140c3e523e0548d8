"""The notification socket: its place, its permissions, and the credentials of each sender."""

from __future__ import annotations

import array
import os
import socket
import struct
import sys
from dataclasses import dataclass

from hostler import EnvironmentSetupFailed, Launch, private_folder

_LARGEST = 4096  # what systemd takes, too (NOTIFY_BUFFER_MAX)
_MOST_DESCRIPTORS = 253  # SCM_MAX_FD of Linux
_CREDENTIALS = struct.Struct("3i")  # struct ucred: pid, uid, gid
_CLOEXEC = getattr(socket, "MSG_CMSG_CLOEXEC", 0)


@dataclass(frozen=True, slots=True)
class Datagram:
    """One message as it came. `pid` is None where the system does not tell the sender, `whole` False when
    it was too large. The descriptors that came with it are closed by `close`, which is how a sender of
    BARRIER=1 learns that everything before has been read.
    """

    data: bytes
    pid: int | None
    descriptors: tuple[int, ...]
    whole: bool

    def close(self) -> None:
        """Close the descriptors that came with it."""
        for descriptor in self.descriptors:
            os.close(descriptor)


def bind_socket(launch: Launch) -> tuple[socket.socket, str]:
    """Make a socket in a private folder that goes with the run; raises EnvironmentSetupFailed."""
    ours = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)

    try:
        path = private_folder(launch, "notify") / "socket"  # sun_path holds no more than 103 bytes
        ours.setblocking(False)
        if sys.platform == "linux":
            ours.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        ours.bind(str(path))
        path.chmod(0o600)
        if launch.user is not None:
            folder = path.parent.stat()
            os.chown(path, folder.st_uid, folder.st_gid)
    except OSError as error:
        ours.close()
        raise EnvironmentSetupFailed(
            f"notify-ready has no socket to give to the server: {error.strerror or error}",
            hint="free some space in /tmp, or let hostler write there",
        ) from error
    except BaseException:
        ours.close()
        raise

    return ours, str(path)


def receive(ours: socket.socket) -> Datagram | None:
    """Read one message; None when there is none. Raises OSError when the socket is closed."""
    space = socket.CMSG_SPACE(_CREDENTIALS.size) + socket.CMSG_SPACE(4 * _MOST_DESCRIPTORS)
    try:
        data, extra, flags, _ = ours.recvmsg(_LARGEST, space, _CLOEXEC)
    except (BlockingIOError, InterruptedError):
        return None

    pid, descriptors = None, array.array("i")

    for level, kind, content in extra:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            descriptors.frombytes(content[: len(content) - len(content) % 4])
        elif sys.platform == "linux" and level == socket.SOL_SOCKET and kind == socket.SCM_CREDENTIALS:
            pid = _CREDENTIALS.unpack(content[: _CREDENTIALS.size])[0]

    return Datagram(data, pid, tuple(descriptors), whole=not flags & socket.MSG_TRUNC)
