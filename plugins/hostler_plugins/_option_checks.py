"""Checks of options that several plugins have."""

from __future__ import annotations

import re
from typing import Any

from hostler import Launch


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


def check_path(plugin: Any, name: str) -> None:
    """Raise ValueError for an option that is no path of a URL."""
    path = getattr(plugin, name)
    if path is not None and not path.startswith("/"):
        raise ValueError(f'{name}: expected a path that starts with "/", found {path!r}')


def check_port(port: int | None) -> None:
    """Raise ValueError for an option `port` that is no number of a port."""
    if port is not None and not 1 <= port <= 65535:
        raise ValueError(f"port: expected a number from 1 to 65535, found {port}")


def is_program(name: str, launch: Launch) -> bool:
    """Whether the server's environment has a program of this name, or its cwd one at this path."""
    import shutil  # noqa: PLC0415 - only `hostler check` needs it

    place = launch.cwd / name if "/" in name else name
    return shutil.which(place, path=launch.env.get("PATH", "")) is not None
