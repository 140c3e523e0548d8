"""Port ownership: which process listens at an endpoint, and whether it is one of the server's."""

from __future__ import annotations

import socket
import sys
from collections.abc import Callable, Collection, Iterable
from contextlib import suppress
from enum import Enum
from ipaddress import ip_address

from msgspec import Struct

from hostler.model.values import Endpoint
from hostler.process.net.addresses import Address, addresses_here, parse_address
from hostler.process.net.listeners import (
    Socket,
    find_owners,
    network_namespace,
    portable_sockets,
    process_name,
    read_closing,
    read_listening,
    read_peer,
    socket_inodes,
)
from hostler.process.net.netlink import ask_closing, ask_listening, ask_peer
from hostler.process.tree.procfs import list_folders


class ListenerKind(Enum):
    """Who listens: a process of the tree, a foreign one, one that cannot be identified, or nobody."""

    OWN = "own"
    FOREIGN = "foreign"
    UNKNOWN = "unknown"
    NOBODY = "nobody"


class Listener(Struct, frozen=True):
    """Who would answer at an endpoint: the address that its socket is bound to, and the user who made it."""

    kind: ListenerKind
    pid: int | None = None
    name: str = ""
    bound_host: str | None = None
    uid: int | None = None

    @property
    def who(self) -> str:
        """The process for a message, or its user where that is all that is known."""
        if self.pid is not None:
            return f"pid {self.pid} ({self.name})"
        return "another user's or namespace's" if self.uid is None else f"a process of user {self.uid}"


def who_listens(endpoint: Endpoint, members: Callable[[], Collection[int]]) -> Listener:
    """Who would answer a connection from here to `endpoint`; `members` returns the pids of the tree.

    Of several sockets the one bound most closely answers. Where a foreign one may answer (it shares the
    port, or `localhost` means it too), that one is returned. Unknown is the owner of a socket that belongs
    to another user, to another network namespace, or whose address cannot be tied to this machine.
    """
    find = _find_listener if sys.platform == "linux" else _find_listener_portably
    listener = find(endpoint, members())

    # A process may pass its socket on and end while we look.
    return find(endpoint, members()) if listener.kind is ListenerKind.UNKNOWN else listener


def who_holds(host: str, port: int) -> Listener:
    """Who listens where an address is about to be bound: on it, on a wildcard around it, or inside it.

    `host` is an IP address; nobody of ours can be meant, so what is found is foreign or unknown.
    """
    asked = ip_address(host.partition("%")[0])
    everybody = _listening_here(port) if sys.platform == "linux" else _portably_on(port)
    in_the_way = [
        found for found in everybody if _match(found, asked) or _match(Socket(asked, port), found.address)
    ]
    return _foreign_listener(in_the_way) if in_the_way else Listener(ListenerKind.NOBODY)


def peer_socket(connection: Endpoint) -> Socket | None:
    """The other end of one of our connections within this machine, where the system shows it."""
    near_host, near_port = connection.near or ("", 0)
    far, near = parse_address(connection.host), parse_address(near_host)
    if far is None or near is None:
        return None

    ends = (far, connection.port), (near, near_port)
    try:
        return ask_peer(*ends)
    except OSError:
        return read_peer(*ends)


def has_closing_connections(port: int) -> bool:
    """Whether connections of a process that is gone still have this port (TIME_WAIT): time ends them."""
    try:
        closing = ask_closing(port)
    except OSError:
        closing = read_closing(port)
    # One with an inode belongs to a living process, which may hold the port for as long as it likes.
    return any(not found.inode for found in closing)


def listening_sockets(members: Collection[int]) -> list[Endpoint]:
    """Every TCP socket that the tree listens on, in whatever network namespace, with scheme "tcp"."""
    if sys.platform != "linux":  # pragma: other-system
        return list(dict.fromkeys(map(_endpoint, portable_sockets(members))))

    namespaces: dict[int | None, list[int]] = {}
    for pid in members:
        namespaces.setdefault(network_namespace(pid), []).append(pid)

    endpoints: dict[Endpoint, None] = {}
    for namespace, pids in namespaces.items():
        # Netlink knows our own namespace only; the /proc of a process shows the one that it lives in.
        inodes = {inode for pid in pids for inode in socket_inodes(pid)}
        there = _listening_here() if namespace == network_namespace("self") else read_listening(pids[0])
        endpoints |= dict.fromkeys(_endpoint(found) for found in there if found.inode in inodes)

    return list(endpoints)


def _find_listener(endpoint: Endpoint, members: Collection[int]) -> Listener:
    sockets = _listening_here(endpoint.port)
    targets = addresses_here(endpoint.host)
    answering = _answering(targets, sockets) if targets else sockets
    if not answering:
        return _in_other_namespace(endpoint.port, members) or Listener(ListenerKind.NOBODY)

    own = find_owners((found.inode for found in answering), members)
    foreign = [found for found in answering if found.inode not in own]
    if not foreign:
        first = answering[0]
        return _listener(ListenerKind.OWN, own[first.inode], first)
    if not targets:
        return _listener(ListenerKind.UNKNOWN, None, foreign[0])

    # What forwards a port into a container is a foreign process that serves the tree.
    return _in_other_namespace(endpoint.port, members) or _foreign_listener(foreign)


def _listening_here(port: int | None = None) -> list[Socket]:
    try:
        return ask_listening(port)
    except OSError:
        return read_listening("self", port)


def _foreign_listener(foreign: list[Socket]) -> Listener:
    if foreign[0].pid is not None:  # pragma: other-system
        return _listener(ListenerKind.FOREIGN, foreign[0].pid, foreign[0])
    everybody = [pid for pid, _, _ in list_folders()]
    owners = find_owners((found.inode for found in foreign), everybody)
    known = next((found for found in foreign if found.inode in owners), None)
    if known is None:
        return _listener(ListenerKind.UNKNOWN, None, foreign[0])
    return _listener(ListenerKind.FOREIGN, owners[known.inode], known)


def _in_other_namespace(port: int, members: Collection[int]) -> Listener | None:
    """A member that listens on the port in another network namespace than ours."""
    ours = network_namespace("self")
    for pid in members:
        if network_namespace(pid) not in {ours, None}:
            for found in read_listening(pid, port):
                return _listener(ListenerKind.UNKNOWN, pid, found)
    return None


def _listener(kind: ListenerKind, pid: int | None, found: Socket) -> Listener:
    return Listener(kind, pid, "" if pid is None else process_name(pid), str(found.address), found.uid)


def _endpoint(found: Socket) -> Endpoint:
    return Endpoint(str(found.address), found.port, "tcp")


def _answering(targets: Iterable[Address], sockets: Iterable[Socket]) -> list[Socket]:
    """The sockets that the system gives a connection to: for each target those that fit it best."""
    answering: dict[Socket, None] = {}
    for target in targets:
        matches = {candidate: _match(candidate, target) for candidate in sockets}
        best = max(matches.values(), default=0)
        answering |= dict.fromkeys(candidate for candidate, match in matches.items() if match == best > 0)
    return list(answering)


def _match(found: Socket, target: Address) -> int:
    # The order in which the kernel prefers listeners: the very address, a wildcard of its family, "::".
    bound = found.address
    if bound == target:
        return 3
    if not bound.is_unspecified:
        return 0
    if bound.version == target.version:
        return 2
    return 0 if bound.version == 4 or found.only_v6 else 1  # "::" takes IPv4 too, unless it is IPV6_V6ONLY


def _find_listener_portably(endpoint: Endpoint, members: Collection[int]) -> Listener:  # pragma: other-system
    """The same where there is no /proc: only our own user's sockets can be seen, and looking is slow."""
    targets = addresses_here(endpoint.host)
    hosts = [str(target) for target in targets] or [endpoint.host]
    if not any(accepts(host, endpoint.port) for host in hosts):
        return Listener(ListenerKind.NOBODY)

    sockets = _portably_on(endpoint.port)
    answering = _answering(targets, sockets) if targets else sockets
    foreign = [candidate for candidate in answering if candidate.pid not in members]

    if not answering:
        return Listener(ListenerKind.UNKNOWN)
    if not foreign:
        return _listener(ListenerKind.OWN, answering[0].pid, answering[0])

    return _listener(ListenerKind.FOREIGN if targets else ListenerKind.UNKNOWN, foreign[0].pid, foreign[0])


def _portably_on(port: int) -> list[Socket]:  # pragma: other-system
    import psutil  # noqa: PLC0415 - heavy

    return [found for found in portable_sockets(psutil.pids()) if found.port == port]


def accepts(host: str, port: int) -> bool:  # pragma: other-system
    """Whether somebody takes a connection there: the only way to know where there is no /proc."""
    with suppress(OSError), socket.create_connection((host, port), timeout=0.2):
        return True
    return False
