"""Who listens where: the sockets of the system, and the processes that they belong to."""

from __future__ import annotations

import socket
import sys
from collections.abc import Callable, Collection, Iterable
from contextlib import suppress
from dataclasses import dataclass
from enum import Enum
from ipaddress import IPv4Address, IPv6Address, ip_address
from types import MappingProxyType

from hostler.model.values import Endpoint
from hostler.process.net.listeners import (
    Address,
    Socket,
    find_owners,
    network_namespace,
    parse_address,
    portable_sockets,
    process_name,
    read_connected,
    read_leaving,
    read_listening,
    socket_inodes,
)
from hostler.process.net.netlink import ask_connected, ask_leaving, ask_listening
from hostler.process.tree.proc import list_folders

_WILDCARDS = MappingProxyType({"": "127.0.0.1", "*": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"})  # noqa: S104


class ListenerKind(Enum):
    """Whose process listens: of the tree, of somebody else, of one that cannot be told, or of none."""

    OWN = "own"
    FOREIGN = "foreign"
    UNKNOWN = "unknown"
    NOBODY = "nobody"


@dataclass(frozen=True, slots=True)
class Listener:
    """Who would answer at an endpoint: the address that its socket is bound to, and the user who made it."""

    kind: ListenerKind
    pid: int | None = None
    name: str = ""
    bound_host: str | None = None
    uid: int | None = None

    @property
    def who(self) -> str:
        """The process in words, or whose it is where that is all that is known."""
        if self.pid is not None:
            return f"pid {self.pid} ({self.name})"

        return "another user's or namespace's" if self.uid is None else f"a process of user {self.uid}"


def who_listens(endpoint: Endpoint, members: Callable[[], Collection[int]]) -> Listener:
    """Who would answer a connection from here to `endpoint`; `members` tells the pids of the tree.

    Of several sockets the one bound most closely answers. Where a foreign one may answer (it shares the
    port, or `localhost` means it too), it is told, not our own. Unknown is the owner of a socket that
    belongs to another user, to another network namespace, or whose address cannot be tied to this machine.
    """
    look = _look if sys.platform == "linux" else _look_portably
    listener = look(endpoint, members())

    # A process may pass its socket on and end while we look.
    return look(endpoint, members()) if listener.kind is ListenerKind.UNKNOWN else listener


def who_holds(host: str, port: int) -> Listener:
    """Who listens where an address is about to be bound: on it, on a wildcard around it, or inside it.

    `host` is an IP address; nobody of ours can be meant, so what is found is foreign or unknown.
    """
    asked = ip_address(host.partition("%")[0])
    everybody = _ours(port) if sys.platform == "linux" else _portably_on(port)
    in_the_way = [
        found for found in everybody if _fit(found, asked) or _fit(Socket(asked, port), found.address)
    ]
    return _foreign(in_the_way) if in_the_way else Listener(ListenerKind.NOBODY)


def far_end(connection: Endpoint) -> Socket | None:
    """The other end of one of our connections within this machine, where the system tells."""
    far = parse_address(connection.host)
    near = None if connection.near is None else parse_address(connection.near[0])

    if far is None or near is None or connection.near is None:
        return None

    ends = (far, connection.port), (near, connection.near[1])

    try:
        return ask_connected(*ends)
    except OSError:
        return read_connected(*ends)


def has_leftovers(port: int) -> bool:
    """Whether connections of a process that is gone still have this port (TIME_WAIT): time ends them."""
    try:
        return any(not found.inode for found in ask_leaving(port))
    except OSError:
        return 0 in read_leaving(port)


def listening_sockets(members: Collection[int]) -> list[Endpoint]:
    """Every TCP socket that the tree listens on, in whatever network namespace, with scheme "tcp"."""
    if sys.platform != "linux":  # pragma: other-system
        return list(dict.fromkeys(map(_endpoint, portable_sockets(members))))

    namespaces: dict[int | None, list[int]] = {}

    for pid in members:
        namespaces.setdefault(network_namespace(pid), []).append(pid)

    endpoints: dict[Endpoint, None] = {}

    for namespace, pids in namespaces.items():
        inodes = {inode for pid in pids for inode in socket_inodes(pid)}
        there = _ours() if namespace == network_namespace("self") else read_listening(pids[0])
        endpoints |= dict.fromkeys(_endpoint(found) for found in there if found.inode in inodes)

    return list(endpoints)


def is_loopback(host: str) -> bool:
    """Whether only this machine can connect to `host`; names are not resolved: localhost and below it."""
    address = parse_address(host)
    return _is_localhost(host) if address is None else address.is_loopback


def is_wildcard(host: str) -> bool:
    """Whether `host` stands for every address of this machine."""
    return host in _WILDCARDS


def leads_here(host: str) -> bool:
    """Whether a connection to `host` ends on this machine, as far as that is known without asking others."""
    return bool(_targets(host))


def is_wider(bound_host: str, asked_host: str) -> bool:
    """Whether a socket bound to `bound_host` can be reached by more than what `asked_host` asked for."""
    if asked_host in _WILDCARDS or bound_host == asked_host or is_loopback(bound_host):
        return False

    if bound_host in _WILDCARDS or is_loopback(asked_host):
        return True

    bound, asked = parse_address(bound_host), parse_address(asked_host)
    return bound is not None and asked is not None and bound != asked


def _look(endpoint: Endpoint, members: Collection[int]) -> Listener:
    sockets = _ours(endpoint.port)
    targets = _targets(endpoint.host)
    answering = _answering(targets, sockets) if targets else sockets

    if not answering:
        return _beyond(endpoint.port, members) or Listener(ListenerKind.NOBODY)

    own = find_owners((found.inode for found in answering), members)
    strange = [found for found in answering if found.inode not in own]

    if not strange:
        first = answering[0]
        return _listener(ListenerKind.OWN, own[first.inode], first)

    if not targets:
        return _listener(ListenerKind.UNKNOWN, None, strange[0])

    # What forwards a port into a container is a stranger that serves the tree.
    return _beyond(endpoint.port, members) or _foreign(strange)


def _ours(port: int | None = None) -> list[Socket]:
    try:
        return ask_listening(port)
    except OSError:
        return read_listening("self", port)


def _foreign(strange: list[Socket]) -> Listener:
    if strange[0].pid is not None:  # pragma: other-system
        return _listener(ListenerKind.FOREIGN, strange[0].pid, strange[0])

    everybody = [pid for pid, _, _ in list_folders()]
    owners = find_owners((found.inode for found in strange), everybody)
    known = next((found for found in strange if found.inode in owners), None)

    if known is None:
        return _listener(ListenerKind.UNKNOWN, None, strange[0])

    return _listener(ListenerKind.FOREIGN, owners[known.inode], known)


def _beyond(port: int, members: Collection[int]) -> Listener | None:
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


def _targets(host: str) -> list[Address]:
    """The addresses that a client connects to for `host`; none where they are not known to be ours."""
    if _is_localhost(host):
        return [IPv4Address("127.0.0.1"), IPv6Address("::1")]

    host = _WILDCARDS.get(host, host)
    address = parse_address(host)
    return [address] if address is not None and (address.is_loopback or _is_local(host, address)) else []


def _is_localhost(host: str) -> bool:
    return host.lower() == "localhost" or host.lower().endswith(".localhost")


def _is_local(host: str, address: Address) -> bool:
    with socket.socket(
        socket.AF_INET if address.version == 4 else socket.AF_INET6, socket.SOCK_DGRAM
    ) as probe:
        try:
            probe.bind((host, 0))
        except OSError:
            return False

    return True


def _answering(targets: Iterable[Address], sockets: Iterable[Socket]) -> list[Socket]:
    """The sockets that the system gives a connection to: for each target those that fit it best."""
    answering: dict[Socket, None] = {}

    for target in targets:
        fits = {candidate: _fit(candidate, target) for candidate in sockets}
        best = max(fits.values(), default=0)
        answering |= dict.fromkeys(candidate for candidate, fit in fits.items() if fit == best > 0)

    return list(answering)


def _fit(found: Socket, target: Address) -> int:
    bound = found.address

    if bound == target:
        return 3

    if not bound.is_unspecified:
        return 0

    if bound.version == target.version:
        return 2

    return 0 if bound.version == 4 or found.only_v6 else 1  # "::" takes IPv4 too, unless it was told not to


def _look_portably(endpoint: Endpoint, members: Collection[int]) -> Listener:  # pragma: other-system
    """The same where there is no /proc: only our own user's sockets can be seen, and looking is slow."""
    targets = _targets(endpoint.host)
    hosts = [str(target) for target in targets] or [endpoint.host]

    if not any(accepts(host, endpoint.port) for host in hosts):
        return Listener(ListenerKind.NOBODY)

    sockets = _portably_on(endpoint.port)
    answering = _answering(targets, sockets) if targets else sockets
    strange = [candidate for candidate in answering if candidate.pid not in members]

    if not answering:
        return Listener(ListenerKind.UNKNOWN)

    if not strange:
        return _listener(ListenerKind.OWN, answering[0].pid, answering[0])

    return _listener(ListenerKind.FOREIGN if targets else ListenerKind.UNKNOWN, strange[0].pid, strange[0])


def _portably_on(port: int) -> list[Socket]:  # pragma: other-system
    import psutil  # noqa: PLC0415 - heavy

    return [found for found in portable_sockets(psutil.pids()) if found.port == port]


def accepts(host: str, port: int) -> bool:  # pragma: other-system
    """Whether somebody takes a connection there: the only way to know where there is no /proc."""
    with suppress(OSError), socket.create_connection((host, port), timeout=0.2):
        return True

    return False
