"""Keys that stand among those of a server and belong elsewhere."""

from __future__ import annotations

from hostler.model.schema.server_keys import TOP


def place_of(name: str) -> str:
    """Where a key belongs, for a message; "" where that is not known."""
    from hostler.plugins.discovery import installed  # noqa: PLC0415 - only this message needs it

    if name in TOP:
        return "; it belongs to the top of the file, above the first [table]"

    return f"; it is a plugin: write plugins.{name}" if name in installed() else ""
