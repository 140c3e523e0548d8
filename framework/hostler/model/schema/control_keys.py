"""The keys of `[control]`: what each may be, and what must hold between them."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType

from hostler.errors import InvalidConfiguration, Problem
from hostler.model.schema import fields
from hostler.model.schema import json_forms as forms
from hostler.model.schema.diagnostics import Diagnostics, written
from hostler.model.schema.external_values import path
from hostler.model.schema.server_keys import Key
from hostler.model.schema.tree import Node, quoted
from hostler.model.spec import ControlSpec

_ADDRESS = r"(?a)(?P<host>\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9_.-]+):(?P<port>[0-9]{1,5})"
_PORT_ALONE = r"(?a):?([0-9]{1,5})"
_LARGEST_PORT = 65535
_LONGEST_SOCKET = 100  # macOS takes 104 bytes, Linux 108


def _socket(node: Node, found: Diagnostics) -> Path | bool | None:
    if isinstance(node.value, bool):
        return node.value
    word = written(node).lower()
    if not isinstance(node.value, str) or word in {"none", "off", "false"}:
        found.expected(node, f"a path, or false{' (write false, without quotes)' if word else ''}")
        return None
    place = path(node, found)
    if place is not None and (length := len(os.fsencode(place))) > _LONGEST_SOCKET:
        found.add(node, f"the path of a socket has {_LONGEST_SOCKET} bytes at most, and this has {length}")
    return place


def _tcp(node: Node, found: Diagnostics) -> str | None:
    match = re.fullmatch(_ADDRESS, node.value) if isinstance(node.value, str) else None
    if match is not None and int(match["port"]) <= _LARGEST_PORT and _is_host(match["host"]):
        return match[0]
    found.expected(
        node, 'an address with a port (0: a free one), such as "127.0.0.1:0"', proposal=_meant_address(node)
    )
    return None


def _is_host(host: str) -> bool:
    """Whether it can be one: what looks like an IP address is one."""
    is_name = not host.startswith("[") and re.search(r"[A-Za-z]", host.rpartition(".")[2])
    return bool(is_name) or _ip(host) is not None


def _ip(host: str) -> bool | None:
    """Whether an IP address is loopback; None for what is none."""
    from ipaddress import ip_address  # noqa: PLC0415 - rarely needed

    try:
        return ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return None


def _meant_address(node: Node) -> str:
    if node.value is True:
        return "127.0.0.1:0"
    text = str(node.value) if type(node.value) is int else written(node)
    port = re.fullmatch(_PORT_ALONE, text)
    if port and int(port[1]) <= _LARGEST_PORT:
        return f"127.0.0.1:{port[1]}"
    return f"{text}:0" if _ip(text) and ":" not in text else ""


def refuse_mistakes(spec: ControlSpec) -> None:
    """Raise InvalidConfiguration for what does not fit together, each at the key to change."""
    problems = [Problem(f"control.{key}", message) for key, message in _mistakes(spec)]
    if problems:
        raise InvalidConfiguration(problems)


def _mistakes(spec: ControlSpec) -> Iterator[tuple[str, str]]:
    assert spec.address is not None
    if spec.socket is False:
        yield "socket", "tcp needs the socket too: leave socket out, or leave tcp out"
    if spec.certificate_file is None and spec.key_file is not None:
        yield "key_file", "it belongs to a certificate; set certificate_file too"
    elif spec.key_file is None and spec.certificate_file is not None:
        yield "certificate_file", "it needs its private key; set key_file too"
    elif spec.expose and spec.certificate_file is None:
        yield "expose", "what others can reach needs TLS: set certificate_file and key_file"
    host = spec.address[0]
    if not spec.expose and host.lower() != "localhost" and not _ip(host):
        message = (
            f"{quoted(host)} may be reached from outside; allowed: 127.0.0.0/8, ::1, localhost, or any host "
            "with expose = true"
        )
        yield "tcp", message


CONTROL_KEYS: Mapping[str, Key] = MappingProxyType(
    {
        "socket": Key(
            _socket,
            "path or `false`",
            {"anyOf": [forms.WORD, forms.FLAG]},
            "The control socket at another path, in a folder with mode 0700. `false`: no other command "
            "reaches the run",
            "in the runtime folder",
        ),
        "tcp": Key(
            _tcp,
            "string",
            {"type": "string", "pattern": rf":[0-9]{{1,5}}$|{forms.REFERENCE}"},
            "An address with a port (`0`: a free one) where the control API is offered over TCP, too. Each "
            "request needs a token. An address that others can reach needs `expose = true`",
            "none",
        ),
        "expose": Key(
            fields.flag,
            "boolean",
            forms.FLAG,
            "Allows an address that is not loopback; needs `certificate_file` and `key_file`",
        ),
        "certificate_file": Key(
            path,
            "path",
            forms.WORD,
            "The certificate for TLS, as PEM, followed by those that it was signed with",
            "none",
        ),
        "key_file": Key(path, "path", forms.WORD, "The private key of that certificate, as PEM", "none"),
    }
)
