"""What the control API takes and answers about the dashboard, as types."""

from __future__ import annotations

from msgspec import Struct


class DashboardChoice(Struct, kw_only=True, forbid_unknown_fields=True):
    """With `keep` it stays until hostler ends, else until nobody has used it for ten minutes."""

    keep: bool = False


class DashboardAddress(Struct, kw_only=True):
    """The address of the page, with a code that works once, and until when."""

    url: str
    expires: str


class DashboardCode(Struct, kw_only=True, forbid_unknown_fields=True):
    """The code that stands in the address of the page."""

    code: str


class DashboardToken(Struct, kw_only=True):
    """The token that requests of the page need; it allows to look and to command."""

    token: str


class DashboardNonce(Struct, kw_only=True, forbid_unknown_fields=True):
    """What a page has chosen at random, to see that it still talks to the same hostler."""

    nonce: str


class DashboardProofs(Struct, kw_only=True):
    """For each token of a page the HMAC of the nonce, whose key is the SHA-256 of that token."""

    proofs: list[str]
