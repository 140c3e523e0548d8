"""The socket that listens for the control API over TCP, and its tokens."""

from __future__ import annotations

import socket
from contextlib import ExitStack
from ipaddress import ip_address
from types import MappingProxyType
from typing import TYPE_CHECKING

from hostler import ControlSpec, EnvironmentSetupFailed
from hostler.control.tokens import Tokens

if TYPE_CHECKING:
    import ssl

_BACKLOG = 128
_OF_WILDCARDS = MappingProxyType({"0.0.0.0": "127.0.0.1", "::": "::1"})  # noqa: S104


class TcpListener:
    """A listening socket at the address of a spec, from `open` to `close`, with tokens of its own."""

    def __init__(self, spec: ControlSpec, listener: socket.socket, tls: ssl.SSLContext | None) -> None:
        self.spec = spec
        self.listener = listener
        self.tls = tls
        self.tokens = Tokens()

    @classmethod
    def open(cls, spec: ControlSpec) -> TcpListener:
        """Listen; slow, as a name may be resolved. Raises EnvironmentSetupFailed."""
        hint = "`hostler check` looks at both files; they stand below [control]"
        try:
            tls = None if spec.certificate_file is None else _tls(spec)
            hint = "choose another tcp below [control]; port 0 is a free one"
            return cls(spec, _listen(spec), tls)
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            raise EnvironmentSetupFailed(
                f"the control API cannot be offered at {spec.tcp}: {reason}",
                hint=hint,
                details={"address": spec.tcp},
            ) from error

    @property
    def url(self) -> str:
        """Where it is reached from this machine: by the name of the address, where that is one."""
        assert self.spec.address is not None
        host = self.spec.address[0]
        scheme = "http" if self.tls is None else "https"
        return f"{scheme}://{bracketed(_OF_WILDCARDS.get(host, host))}:{self.port}"

    @property
    def port(self) -> int:
        """The port that it has."""
        return int(self.listener.getsockname()[1])


def bracketed(host: str) -> str:
    """A host as it stands before a port."""
    return f"[{host}]" if ":" in host else host


def _listen(spec: ControlSpec) -> socket.socket:
    assert spec.address is not None
    host, port = spec.address
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    # A name may have an address of each kind: clients try both, so one is enough.
    family, kind, protocol, _, address = min(found, key=lambda one: one[0] != socket.AF_INET)
    if not spec.expose and not ip_address(address[0]).is_loopback:
        raise OSError(None, f"{host} is {address[0]} here, which may be reached from outside")
    with ExitStack() as opened:
        listener = opened.enter_context(socket.socket(family, kind, protocol))
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        listener.bind(address)
        listener.listen(_BACKLOG)
        listener.setblocking(False)
        opened.pop_all()
    return listener


def _tls(spec: ControlSpec) -> ssl.SSLContext:
    import ssl  # noqa: PLC0415 - few need it

    assert spec.certificate_file is not None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    # Without a password OpenSSL would ask for that of the key at the terminal.
    try:
        context.load_cert_chain(spec.certificate_file, spec.key_file, password=lambda: b"")
    except OSError as error:
        reason = getattr(error, "reason", None) or error.strerror
        raise OSError(error.errno, f"{spec.certificate_file} with {spec.key_file}: {reason}") from error
    return context
