"""SHA-256 of a few bytes without OpenSSL, whose library takes 3.5 MiB and some milliseconds of each start."""

from __future__ import annotations

import sys

try:
    if sys.version_info >= (3, 12):
        from _sha2 import sha256  # type: ignore[import-not-found]
    else:
        from _sha256 import sha256  # type: ignore[import-not-found]
except ImportError:  # Python is built without it where all hashes are to come from OpenSSL, as on RHEL
    from hashlib import sha256


def hex_digest(data: bytes) -> str:
    """The digest as 64 hexadecimal digits."""
    return str(sha256(data).hexdigest())
