"""Which events of a server's event stream say no more than that it lives."""

from __future__ import annotations

import re

from hostler.model.values import StreamEvent

_HEARTBEAT = r"(?i:(?:[\w.-]*[._-])?(?:heart-?beat|keep-?alive|ping))"
_DATA = rf'(?i)\s*(?:{_HEARTBEAT}\s*$|\{{.{{0,100}}"type"\s*:\s*"{_HEARTBEAT}")'


def is_heartbeat(event: StreamEvent) -> bool:
    """Whether an event only says that its server lives: by its type, or the "type" in its JSON."""
    # A long text is more than a sign of life, and searching it costs time for each event.
    return bool(
        re.fullmatch(_HEARTBEAT, event.type) or (len(event.data) <= 200 and re.match(_DATA, event.data))
    )
