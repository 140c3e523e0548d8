"""The sockets of the system, read from /proc or by psutil, and the processes that hold them."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterable, Iterator
from contextlib import suppress
from ipaddress import ip_address
from pathlib import Path

from msgspec import Struct

from hostler.process.net.addresses import Address, parse_address, unmapped
from hostler.process.tree.procfs import folder

# local address and port, remote ones, state, queues, timer, retransmits; then uid, timeout, inode
_ROW = rb"([0-9A-F]+):([0-9A-F]{4}) ([0-9A-F]+):([0-9A-F]{4}) ([0-9A-F]{2}) \S+ \S+ \S+ +(\d+) +\d+ (\d+) "
LISTENS = 10
# FIN_WAIT1, FIN_WAIT2, TIME_WAIT, LAST_ACK and CLOSING: somebody closed the connection
CLOSING_STATES = (4, 5, 6, 9, 11)
_USER = rb"(?m)^Uid:\t\d+\t(\d+)"  # real, effective


class Socket(Struct, frozen=True):
    """One listening TCP socket; an inode leads to its process where the system does not name the pid."""

    address: Address
    port: int
    inode: int = 0
    uid: int | None = None
    pid: int | None = None
    only_v6: bool = False


def _sockets(pid: int | str, port: int | None) -> Iterator[tuple[int, Socket, tuple[Address, int]]]:
    """State, local end and far end of the sockets of one local port or all, in the namespace of `pid`."""
    for table in ("net/tcp", "net/tcp6"):
        with suppress(OSError):
            data = Path(_folder(pid), table).read_bytes()
            if port is not None and b":%04X " % port not in data:  # spares the pattern thousands of lines
                continue
            for host, near, far_host, far, state, uid, inode in re.findall(_ROW, data):
                if port in {None, int(near, 16)}:
                    own = Socket(_decode(host), int(near, 16), int(inode), int(uid))
                    yield int(state, 16), own, (_decode(far_host), int(far, 16))


def read_listening(pid: int | str, port: int | None = None) -> list[Socket]:
    """The listening sockets, on one port or on all, of the namespace that `pid` lives in, read from /proc."""
    return [own for state, own, _ in _sockets(pid, port) if state == LISTENS]


def read_closing(port: int) -> list[Socket]:
    """The local ends of connections on one port that are about to be over; inode 0 for a dead process."""
    return [own for state, own, _ in _sockets("self", port) if state in CLOSING_STATES]


def read_peer(far: tuple[Address, int], near: tuple[Address, int]) -> Socket | None:
    """The end of a connection at `far`, read from /proc; its inode is 0 while nobody has taken it."""
    for state, own, other_end in _sockets("self", far[1]):
        if state != LISTENS and other_end == near and own.address == far[0]:
            return own
    return None


def find_owners(inodes: Iterable[int], pids: Iterable[int]) -> dict[int, int]:
    """Which of the processes has each of the sockets; the first one where several share it."""
    wanted, owners = set(inodes), dict[int, int]()
    for pid in pids:
        for inode in wanted.intersection(socket_inodes(pid)):
            owners[inode] = pid
            wanted.discard(inode)
        if not wanted:
            break
    return owners


def socket_inodes(pid: int) -> Iterator[int]:
    """The inodes of the sockets that a process has open; none where it is gone or another user's."""
    with suppress(OSError):
        descriptors = f"{_folder(pid)}/fd"
        for name in os.listdir(descriptors):  # noqa: PTH208 - a Path for each descriptor costs more than the look
            with suppress(OSError):
                link = os.readlink(f"{descriptors}/{name}")  # noqa: PTH115
                if link.startswith("socket:["):
                    yield int(link[8:-1])


def may_read_descriptors(pid: int) -> bool:
    """Whether the sockets of a process can be seen; also where it is gone."""
    folder = f"/proc/{pid}/fd"
    try:
        for name in os.listdir(folder)[:1]:  # noqa: PTH208 - as above
            os.readlink(f"{folder}/{name}")  # noqa: PTH115 - root may list them without the right to look at them
    except PermissionError:
        return False
    except OSError:
        pass

    return True


def user_of(pid: int) -> int | None:
    """The user that a process runs as; None where it is gone."""
    with suppress(OSError):
        found = re.search(_USER, Path(f"/proc/{pid}/status").read_bytes())
        return int(found[1]) if found else None
    return None


def network_namespace(pid: int | str) -> int | None:
    """The identity of the network namespace of a process; None where it is gone or another user's."""
    with suppress(OSError):
        return Path(_folder(pid), "ns/net").stat().st_ino
    return None


def _folder(pid: int | str) -> str:
    return folder(pid) if isinstance(pid, int) else f"/proc/{pid}"


def process_name(pid: int) -> str:
    """What a process is called; empty when it is gone."""
    if sys.platform == "linux":
        with suppress(OSError):
            return Path(_folder(pid), "comm").read_text("utf-8", "replace").strip()
        return ""

    import psutil  # pragma: other-system # noqa: PLC0415 - heavy

    try:  # pragma: other-system
        return psutil.Process(pid).name()
    except psutil.Error:  # pragma: other-system
        return ""


def portable_sockets(pids: Iterable[int]) -> Iterator[Socket]:  # pragma: other-system
    """The listening sockets of some processes where there is no /proc; none of other users' processes."""
    import psutil  # noqa: PLC0415 - heavy

    for pid in pids:
        with suppress(psutil.Error):
            for found in psutil.Process(pid).net_connections("tcp"):
                address = parse_address(found.laddr.ip) if found.status == psutil.CONN_LISTEN else None
                if address is not None:
                    yield Socket(address, found.laddr.port, pid=pid)


def _decode(text: bytes) -> Address:
    """An address as the kernel prints it: words of 32 bits in the byte order of the machine."""
    words = [int(text[i : i + 8], 16).to_bytes(4, sys.byteorder) for i in range(0, len(text), 8)]
    return unmapped(ip_address(b"".join(words)))
