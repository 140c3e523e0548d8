"""What a reload changes, in words: the same from `hostler up` and from the run that reloads."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any


def change_lines(changes: Mapping[str, Any]) -> Iterator[str]:
    """The changes that the control API answers, or those of a supervisor as a dict; nothing for none."""
    yield from (f"{name}: removed" for name in changes["removed"])
    for name, keys in changes["changed"].items():
        how = "restarted" if name in changes["restarted"] else "changed, and not running"
        yield f"{name}: {how}{' when nothing runs on it' if name in changes['when_idle'] else ''}"
        yield from _of_keys(keys)
    yield from (f"{name}: added" for name in changes["added"])
    listeners = changes["listeners"]
    yield from (f"listener {name}: removed" for name in listeners["removed"])
    for name, keys in listeners["changed"].items():
        yield f"listener {name}: begins anew"
        yield from _of_keys(keys)
    yield from (f"listener {name}: added" for name in listeners["added"])
    if changes.get("control"):
        yield "[control]: applies when hostler is started anew"
        yield from _of_keys(changes["control"])


def _of_keys(keys: Iterable[Mapping[str, str | None]]) -> Iterator[str]:
    for one in keys:
        before, after = ("(none)" if one[key] is None else one[key] for key in ("before", "after"))
        yield f"  {one['key']}: {before} -> {after}"
