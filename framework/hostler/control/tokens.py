"""The tokens that requests over TCP need: what each one allows."""

from __future__ import annotations

from collections.abc import Mapping
from hmac import compare_digest
from secrets import token_urlsafe
from types import MappingProxyType
from typing import Literal, TypeAlias

Scope: TypeAlias = Literal["read", "operate", "connect"]

SCOPES: Mapping[Scope, frozenset[Scope]] = MappingProxyType(
    {
        "read": frozenset({"read"}),
        "operate": frozenset({"read", "operate"}),
        "connect": frozenset({"read", "operate", "connect"}),
    }
)
"""What the token of each name allows: to look, to command as well, and to be given credentials as well."""

_BYTES = 32


class Tokens:
    """One secret for each of SCOPES, made at random with the object."""

    def __init__(self) -> None:
        self.by_name: Mapping[str, str] = {name: token_urlsafe(_BYTES) for name in SCOPES}

    def scopes_of(self, token: str) -> frozenset[Scope]:
        """What a token allows: nothing if it is none of ours. The time that takes tells nothing of them."""
        given, found = token.encode(errors="surrogateescape"), frozenset[Scope]()
        for name, scopes in SCOPES.items():
            if compare_digest(given, self.by_name[name].encode()):
                found = scopes
        return found
