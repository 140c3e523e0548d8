"""How long a busy server asks to be left alone: the header Retry-After (RFC 9110, 10.2.3)."""

from __future__ import annotations

from datetime import UTC, datetime


def retry_after(value: str, now: datetime | None = None) -> float | None:
    """The wait in seconds that a Retry-After asks for, as a number or as a date; None for nonsense."""
    if value.isascii() and value.isdigit() and len(value) < 10:
        return float(value)

    from email.utils import parsedate_to_datetime  # noqa: PLC0415 - heavy

    try:
        date = parsedate_to_datetime(value)
    except (ValueError, TypeError, OverflowError):
        return None

    date = date.replace(tzinfo=date.tzinfo or UTC)  # "-0000": no zone is meant
    return max(0.0, (date - (now or datetime.now(UTC))).total_seconds())
