"""Internet addresses and host names: what they mean on this machine."""

from __future__ import annotations

import socket
from contextlib import suppress
from ipaddress import IPv4Address, IPv6Address, ip_address
from types import MappingProxyType
from typing import TypeAlias

Address: TypeAlias = IPv4Address | IPv6Address

_WILDCARDS = MappingProxyType({"": "127.0.0.1", "*": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"})  # noqa: S104


def parse_address(host: str) -> Address | None:
    """Read an IP address, IPv4 also where it stands in IPv6, without its zone; None for a name."""
    try:
        return unmapped(ip_address(host.partition("%")[0]))
    except ValueError:
        return None


def unmapped(address: Address) -> Address:
    """The IPv4 address that an IPv6 address stands for, else itself."""
    return getattr(address, "ipv4_mapped", None) or address


def is_loopback(host: str) -> bool:
    """Whether only this machine can connect to `host`; names are not resolved: localhost and below it."""
    address = parse_address(host)
    return _is_localhost(host) if address is None else address.is_loopback


def is_wildcard(host: str) -> bool:
    """Whether `host` stands for every address of this machine."""
    return host in _WILDCARDS


def is_wider(bound_host: str, asked_host: str) -> bool:
    """Whether a socket bound to `bound_host` can be reached by more than what `asked_host` asked for."""
    if asked_host in _WILDCARDS or bound_host == asked_host or is_loopback(bound_host):
        return False
    if bound_host in _WILDCARDS or is_loopback(asked_host):
        return True
    bound, asked = parse_address(bound_host), parse_address(asked_host)
    return bound is not None and asked is not None and bound != asked


def addresses_here(host: str) -> list[Address]:
    """The addresses that a client connects to for `host`; none where they are not known to be ours."""
    if _is_localhost(host):
        return [IPv4Address("127.0.0.1"), IPv6Address("::1")]
    host = _WILDCARDS.get(host, host)
    address = parse_address(host)
    return [address] if address is not None and (address.is_loopback or _is_local(host, address)) else []


def _is_localhost(host: str) -> bool:
    return host.lower() == "localhost" or host.lower().endswith(".localhost")


def _is_local(host: str, address: Address) -> bool:
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6
    with suppress(OSError), socket.socket(family, socket.SOCK_DGRAM) as probe:
        probe.bind((host, 0))
        return True
    return False
