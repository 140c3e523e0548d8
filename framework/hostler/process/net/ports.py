"""Free ports: choosing one, and naming the process that has one."""

from __future__ import annotations

import errno
import os
import socket
import sys
from collections.abc import Collection

from hostler.errors import EnvironmentSetupFailed, InvalidConfiguration, PortInUse, Problem, ServerError
from hostler.process.net.addresses import is_loopback, parse_address
from hostler.process.net.ownership import Listener, ListenerKind, accepts, has_closing_connections, who_holds

_TRIES = 200  # what the system names may be promised to another server, or be taken on the other address


def free_port(host: str, *, preferred: int | None = None, avoid: Collection[int] = ()) -> int:
    """A TCP port that a server can bind on `host` now: `preferred` where it is free, else any.

    A connection of a former server that lingers (TIME_WAIT) does not count as use. Nobody can keep the
    port free until the server binds it: `avoid` names those that were given to others already.
    Raises EnvironmentSetupFailed where no port is left, and as `check_port_free` for the host.
    """
    addresses = _addresses(host)
    if preferred and preferred not in avoid and _is_free(addresses, preferred):
        return preferred

    for _ in range(_TRIES):
        try:
            port = _any_port(*addresses[0])
        except OSError:
            break
        if port not in avoid and _is_free(addresses, port):
            return port

    raise EnvironmentSetupFailed(f"no free port was found on {host}", hint="close some servers or set a port")


def check_port_free(host: str, port: int) -> None:
    """Return when a server can bind `port` on `host`; say why when it cannot.

    PortInUse names the process that listens there; EnvironmentSetupFailed is for a port that needs
    privileges, InvalidConfiguration for a host that is unknown or not an address of this machine.
    """
    if not 1 <= port <= 65535:
        raise InvalidConfiguration([Problem("port", f"{port} is not a port: ports are between 1 and 65535")])
    for family, address in _addresses(host):
        try:
            _bind(family, address, port)
        except OSError as error:
            raise _refused(host, address, port, error) from error


def needs_only_time(host: str, port: int, *, reuse: bool) -> bool:
    """Whether a server cannot bind `port` now, and only because connections of a former one are not over.

    `reuse` is whether it sets SO_REUSEADDR, as most servers do: then it is free if the former did so too.
    """
    for family, address in _addresses(host):
        try:
            _bind(family, address, port, reuse=reuse)
        except OSError as error:
            in_use = error.errno == errno.EADDRINUSE
            nobody = in_use and who_holds(address, port).kind is ListenerKind.NOBODY
            return nobody and (sys.platform != "linux" or has_closing_connections(port))
    return False


def _addresses(host: str) -> list[tuple[int, str]]:
    """The addresses, with their families, that a server may bind when it is to listen on `host`."""
    named = {"localhost": ["127.0.0.1", "::1"], "": ["0.0.0.0", "::"], "*": ["0.0.0.0", "::"]}  # noqa: S104
    hosts = named.get("localhost" if is_loopback(host) and not parse_address(host) else host, [host])
    try:
        found: list[tuple[int, str]] = [
            (family, str(address[0]))
            for name in hosts
            for family, _, _, _, address in socket.getaddrinfo(
                # For a str Python imports its tables of international names, which takes 2 ms.
                name.encode() if name.isascii() else name,
                None,
                type=socket.SOCK_STREAM,
            )
        ]
    except (OSError, UnicodeError) as error:
        raise InvalidConfiguration(
            [Problem("host", f'"{host}" is neither an address nor a name that resolves here')]
        ) from error

    usable = [(family, address) for family, address in found if _exists(family, address)]
    if not usable:
        raise InvalidConfiguration(
            [Problem("host", f'"{host}" is not an address of this machine')],
            hint='use "127.0.0.1" for this machine only, or an address that one of its interfaces has',
        )

    return usable


def _exists(family: int, address: str) -> bool:
    # With IPv6 switched off, localhost is still called ::1 by the resolver.
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.bind((address, 0))
    except OSError as error:
        if error.errno in {errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT, errno.EINVAL}:
            return False
        raise _refused(address, address, 0, error) from error
    return True


def _bind(family: int, address: str, port: int, *, reuse: bool = True) -> None:
    """Raise the OSError that a server would meet."""
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, reuse)
        probe.bind((address, port))

    # Elsewhere that option lets a close address be bound beside a wildcard that somebody listens on.
    if sys.platform != "linux" and accepts(address, port):  # pragma: other-system
        raise OSError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE))


def _is_free(addresses: Collection[tuple[int, str]], port: int) -> bool:
    try:
        for family, address in addresses:
            _bind(family, address, port)

    except (OSError, OverflowError):
        return False
    return True


def _any_port(family: int, address: str) -> int:
    # Without SO_REUSEADDR: with it the system may name a port that another server is about to listen on.
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.bind((address, 0))
        return int(probe.getsockname()[1])


def _refused(host: str, address: str, port: int, error: OSError) -> ServerError:
    if error.errno == errno.EADDRINUSE:
        return _in_use(host, port, who_holds(address, port))
    if error.errno in {errno.EACCES, errno.EPERM}:
        return EnvironmentSetupFailed(
            f"port {port} on {host} needs privileges that hostler does not have",
            hint="choose a port above 1023, or grant the capability CAP_NET_BIND_SERVICE",
            permanent=True,
        )

    return EnvironmentSetupFailed(
        f"port {port} on {host} cannot be tried: {error.strerror}",
        hint="raise the limit of open files (ulimit -n) if there are too many, else repair the network",
    )


def _in_use(host: str, port: int, listener: Listener) -> PortInUse:
    if listener.kind is ListenerKind.NOBODY:
        who = "by a connection, or by a program that does not listen yet"
    elif listener.kind is ListenerKind.FOREIGN:
        who = f"by {listener.name or 'a process'} (pid {listener.pid})"
    else:
        who = "by a process that cannot be inspected" + (
            "" if listener.uid is None else f" (user {listener.uid})"
        )

    return PortInUse(
        f"port {port} on {host} is in use {who}",
        hint="stop that one, or set another port (0: a free one)",
        details={"host": host, "port": port, "pid": listener.pid, "name": listener.name, "uid": listener.uid},
    )
