"""The tokens of the pages of a dashboard: one for each page, of which the digest alone is kept."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from contextlib import suppress
from hashlib import sha256
from hmac import compare_digest, digest
from secrets import token_urlsafe
from typing import Any

from hostler.control.tokens import SCOPES, Scope
from hostler.control.whole_file import write_whole

_BYTES = 32
_MOST = 64  # pages; the token of the oldest ends with one more
_LARGEST = 16_384  # bytes of the file


class PageTokens:
    """Tokens that allow to look and to command, with the port that they are for, in a private file.

    Who has a token can be shown that this is the hostler that gave it, or the next one of its
    configuration: both know its digest. So a page that lost its connection tells its token to nobody else
    who listens at that port meanwhile.
    """

    def __init__(self, path: str, port: int, digests: Sequence[bytes] = ()) -> None:
        self._path = path
        self.port = port
        self._digests = list(digests)

    @classmethod
    def read(cls, path: str) -> PageTokens | None:
        """Those that a hostler left which was killed; None where there are none."""
        with suppress(OSError, ValueError, TypeError, KeyError, RecursionError):
            with open(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC), encoding="ascii") as file:
                value: Any = json.loads(file.read(_LARGEST))
            port, digests = int(value["port"]), [bytes.fromhex(one) for one in value["digests"]]
            if 0 < port < 2**16 and digests:
                return cls(path, port, digests)
        return None

    def new(self) -> str:
        """One more token. Where the file cannot be written, it ends with this hostler."""
        token = token_urlsafe(_BYTES)
        self._digests = [*self._digests[-_MOST + 1 :], _digest(token)]
        written = {"port": self.port, "digests": [one.hex() for one in self._digests]}
        with suppress(OSError):
            write_whole(self._path, json.dumps(written).encode())
        return token

    def scopes_of(self, token: str) -> frozenset[Scope]:
        """What a token allows: nothing if it is none of these."""
        given = _digest(token)
        # All of them: the time that it takes tells nothing.
        is_ours = [one for one in self._digests if compare_digest(given, one)]
        return SCOPES["operate"] if is_ours else frozenset()

    def proofs(self, nonce: str) -> list[str]:
        """For each token what only who knows it or its digest can say about `nonce`."""
        return [digest(one, nonce.encode(errors="replace"), "sha256").hex() for one in self._digests]

    def forget(self) -> None:
        """Remove the file: the tokens end with this hostler."""
        with suppress(OSError):
            os.unlink(self._path)


def _digest(token: str) -> bytes:
    return sha256(token.encode(errors="surrogateescape")).digest()
