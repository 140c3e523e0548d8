"""Checks of options that several plugins have."""

from __future__ import annotations

import re
from typing import Any


def check_positive(plugin: Any, *names: str) -> None:
    """Raise ValueError, as `__post_init__` does, for the first of these options that is 0 or less."""
    for name in names:
        value = getattr(plugin, name)
        if value is not None and value <= 0:
            allowed = "1 or more" if name == "failures" else "longer than 0"
            raise ValueError(f"{name}: must be {allowed}")


def check_pattern(plugin: Any, *names: str) -> None:
    """Raise ValueError, as `__post_init__` does, for the first of these that is no regular expression."""
    for name in names:
        try:
            re.compile(getattr(plugin, name) or "")
        except re.error as error:
            raise ValueError(
                f"{name}: {getattr(plugin, name)!r} is no regular expression: {error}"
            ) from error
