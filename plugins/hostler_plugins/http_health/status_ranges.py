"""Which status codes are healthy, as it is written in TOML."""

from __future__ import annotations

import re

_ONE = re.compile(
    r"\s*(?:(?P<class>[1-5])xx|(?P<first>[1-5]\d\d)(?:\s*-\s*(?P<last>[1-5]\d\d))?)\s*", re.ASCII
)
_ALLOWED = 'codes from 100 to 599, such as [200, 404], "2xx", "200-399" or "2xx, 404"'


def accepted(status: str | list[int]) -> frozenset[int]:
    """Read the option; raises the ValueError of `__post_init__`."""
    parts = [_codes(part) for part in status.split(",")] if isinstance(status, str) else [status]
    codes = frozenset(code for part in parts for code in part)
    if not all(parts) or not all(100 <= code <= 599 for code in codes):
        raise ValueError(f"status: expected {_ALLOWED}, found {status!r}")
    return codes


def _codes(part: str) -> range:
    found = _ONE.fullmatch(part)
    if found is None:
        return range(0)
    if found["class"]:
        return range(int(found["class"]) * 100, int(found["class"]) * 100 + 100)
    return range(int(found["first"]), int(found["last"] or found["first"]) + 1)
