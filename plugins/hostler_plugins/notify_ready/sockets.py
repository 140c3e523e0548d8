"""The socket that a server notifies: where it is, who may write to it, and who did."""

from __future__ import annotations

import array
import os
import pwd
import socket
import struct
import sys
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from secrets import token_hex

from hostler import EnvironmentSetupFailed, Launch

_LONGEST_PATH = 100  # sun_path holds 108 bytes on Linux and 104 on macOS, with the final NUL
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
    folder = _make_folder(launch)
    path = folder / "notify"
    ours = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)

    try:
        ours.setblocking(False)

        if sys.platform == "linux":
            ours.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)

        ours.bind(str(path))
        path.chmod(0o600)

        if launch.user is not None:
            os.chown(path, _number(launch.user), -1)
            folder.chmod(0o711)  # the other user may reach the socket, and see nothing else
    except (OSError, KeyError) as error:
        ours.close()
        raise EnvironmentSetupFailed(f"notify-ready has no socket at {path}: {error}") from error

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


def _make_folder(launch: Launch) -> Path:
    """A new folder that only we can read, at a place with a short name; it goes with the run."""
    for place in (tempfile.gettempdir(), "/tmp"):  # noqa: S108 - under a name that nobody can plant
        folder = Path(place, f"hostler-{token_hex(8)}")

        if len(os.fsencode(folder)) > _LONGEST_PATH - len("/notify"):
            continue

        launch.remove_at_end(folder)

        with suppress(OSError):
            folder.mkdir(mode=0o700)
            folder.chmod(0o700)  # a umask such as 0777 takes even our own bits away
            return folder

    raise EnvironmentSetupFailed(
        "notify-ready finds no place for its socket: it takes a writable folder with a short name",
        hint="set TMPDIR to a folder with a path of less than 70 letters",
    )


def _number(user: str) -> int:
    return int(user) if user.isdigit() else pwd.getpwnam(user).pw_uid
