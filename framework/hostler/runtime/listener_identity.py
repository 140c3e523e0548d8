"""Whether the server itself listens at an endpoint, and may be sent its secrets."""

from __future__ import annotations

import errno
import os
import sys

from msgspec.structs import replace

from hostler.errors import PortInUse
from hostler.model.choices import IdentityCheck
from hostler.model.values import Endpoint
from hostler.process.net.addresses import addresses_here
from hostler.process.net.ownership import Listener, ListenerKind, peer_socket
from hostler.process.spawn.exits import Process
from hostler.process.system import Processes

_ROOT = 0  # it forwards ports into containers, and could read every password anyway


def find_listener(endpoint: Endpoint, process: Process, processes: Processes) -> Listener:
    """Who would answer at an endpoint, the whole tree of the process being its own.

    Where descriptors may not be read, the user who made the socket is known all the same: one whom no process
    of the tree runs as is a stranger; one of whose processes in the tree nothing may be read is the server.
    """
    listener = processes.who_listens(endpoint, lambda: [process.pid] if process.alive() else [])
    if listener.kind in {ListenerKind.FOREIGN, ListenerKind.UNKNOWN}:  # the whole tree is dearer to look up
        listener = processes.who_listens(endpoint, lambda: processes.members(process))

    if listener.kind is not ListenerKind.UNKNOWN or listener.uid is None or listener.pid is not None:
        return listener

    members = processes.members(process)
    if listener.uid in processes.hidden_users(members):
        return replace(listener, kind=ListenerKind.OWN)
    if listener.uid in {_ROOT, os.geteuid(), *processes.users(members)}:
        return listener

    return replace(listener, kind=ListenerKind.FOREIGN)


def find_stranger(endpoint: Endpoint, process: Process, processes: Processes, check: IdentityCheck) -> str:
    """Name the process that listens in the server's place: "pid 12 (nginx)"; "" for none."""
    if check is IdentityCheck.OFF:
        return ""
    try:
        listener = find_listener(endpoint, process, processes)
    except OSError:  # no descriptor left to look with, say
        return ""
    required = check is IdentityCheck.REQUIRE and listener.kind is ListenerKind.UNKNOWN
    return listener.who if required or listener.kind is ListenerKind.FOREIGN else ""


def verify_listener(
    endpoint: Endpoint, process: Process, processes: Processes, check: IdentityCheck, *, secret: bool
) -> None:
    """Return where the server may be connected to; a secret goes to nobody but its own tree.

    Of a connection that is made already (`near`), its other end has to be the server's too.

    Raises PortInUse for a stranger, ConnectionRefusedError where nobody listens, OSError when nobody can
    look.
    """
    if check is IdentityCheck.OFF:
        return

    strict = secret or check is IdentityCheck.REQUIRE

    try:
        listener = find_listener(endpoint, process, processes)
    except OSError:
        if strict:
            raise
        return

    if secret and not addresses_here(endpoint.host):  # the port is ours, but who has the address?
        listener = replace(listener, kind=ListenerKind.UNKNOWN)

    if listener.kind is ListenerKind.FOREIGN:
        raise _taken(f"another process listens there instead: {listener.who}", listener)
    if strict and listener.kind is ListenerKind.NOBODY:
        raise ConnectionRefusedError(errno.ECONNREFUSED, os.strerror(errno.ECONNREFUSED))
    if strict and listener.kind is ListenerKind.UNKNOWN:
        told = 'it gets no secret (identity = "off" allows it)' if secret else "identity is required"
        raise _taken(f"cannot tell which process listens there ({listener.who}), so {told}", listener)

    if secret and endpoint.near is not None and sys.platform == "linux":
        _verify_far_end(endpoint, listener, {*processes.users(processes.members(process))})


def _verify_far_end(connection: Endpoint, listener: Listener, users: set[int]) -> None:
    """Raise where somebody took it who listened there for a moment, before the server did."""
    far = peer_socket(connection)
    if far is None:
        raise ConnectionResetError(errno.ECONNRESET, os.strerror(errno.ECONNRESET))
    if far.inode and far.uid not in {listener.uid, *users}:
        stranger = replace(listener, kind=ListenerKind.FOREIGN, pid=None, name="", uid=far.uid)
        raise _taken(f"another process accepted the connection instead: {stranger.who}", stranger)


def _taken(text: str, listener: Listener) -> PortInUse:
    return PortInUse(
        text,
        hint='stop that process; set identity = "off" if it works for this server, as in a container',
        details={"pid": listener.pid, "name": listener.name, "uid": listener.uid},
    )
