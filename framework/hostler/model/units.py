"""Durations and sizes as they stand in TOML ("500ms", "10 MiB"), and `option` for a plugin's fields."""

from __future__ import annotations

import math
import re
from types import EllipsisType, MappingProxyType
from typing import Any, Self, TypeVar, overload

T = TypeVar("T")

LONGEST = 10**12  # seconds, some 30,000 years: in milliseconds it still fits 64 bits
LARGEST = 2**60  # bytes: the kernel's sizes end at 2**63

_NUMBER_AND_UNIT = r"(?a)\s*(\d+(?:\.\d+)?)\s*([A-Za-zµ]+)\s*"
_SECONDS = MappingProxyType({"ms": 0.001, "s": 1.0, "min": 60.0, "m": 60.0, "h": 3600.0, "d": 86400.0})
_BYTES = MappingProxyType(
    {"B": 1, "KB": 10**3, "kB": 10**3, "MB": 10**6, "GB": 10**9, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30}
)

_PARTS = re.compile(r"(\d+(?:\.\d+)?)\s*([A-Za-z]*)\s*", re.ASCII)
_LONG_UNITS = MappingProxyType(
    {
        "": "s",
        **dict.fromkeys(("msec", "msecs", "millis", "millisecond", "milliseconds"), "ms"),
        **dict.fromkeys(("sec", "secs", "second", "seconds"), "s"),
        **dict.fromkeys(("mins", "minute", "minutes"), "m"),
        **dict.fromkeys(("hr", "hrs", "hour", "hours"), "h"),
        **dict.fromkeys(("day", "days"), "d"),
    }
)
_ISO = r"(?a)P(?:(\d+)D)?(?:T(?:(\d+)H)?(?:(\d+)M)?(?:(\d+(?:\.\d+)?)S)?)?"
_PERIODS = MappingProxyType({"hourly": "1h", "daily": "1d", "weekly": "7d", "monthly": "30d", "1w": "7d"})
_MANY = 1000
_LETTERS = MappingProxyType({"k": "KiB", "m": "MiB", "g": "GiB", "ki": "KiB", "mi": "MiB", "gi": "GiB"})


def likely_duration_of(value: object) -> str:
    """The duration that a value of TOML which is no string was probably meant as, or ""."""
    from datetime import time  # noqa: PLC0415 - only this message needs it

    if isinstance(value, time):
        return f"{value.hour * 3600 + value.minute * 60 + value.second}s"
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < math.inf:
        return ""
    # pm2 and other programs in JavaScript count in milliseconds.
    return f"{value}ms" if value >= _MANY and value % 100 == 0 else f"{value}s"


def likely_duration(text: str) -> str:
    """The duration that "30", "1m30s", "PT30S", "daily" or "30 seconds" was probably meant as, or ""."""
    text = _PERIODS.get(text.strip().lower().removeprefix("@"), text)
    iso = re.fullmatch(_ISO, text.strip())
    if iso is not None and iso[0].strip("PT"):
        text = "".join(f"{number}{unit}" for number, unit in zip(iso.groups(), "dhms", strict=True) if number)
    clock = re.fullmatch(r"(\d{1,3}):(\d\d):(\d\d)", text.strip(), re.ASCII)
    if clock is not None:
        text = f"{int(clock[1]) * 3600 + int(clock[2]) * 60 + int(clock[3])}s"
    if not re.fullmatch(rf"\s*(?:{_PARTS.pattern})+", text):
        return ""
    parts = [(number, _LONG_UNITS.get(unit.lower(), unit.lower())) for number, unit in _PARTS.findall(text)]
    if any(unit not in _SECONDS for _, unit in parts):
        return ""
    seconds = sum(float(number) * _SECONDS[unit] for number, unit in parts)
    if seconds > LONGEST:
        return ""
    return "".join(parts[0]) if len(parts) == 1 else f"{seconds:g}s"


def likely_size(text: str) -> str:
    """The size that "10M", "10 mb" or 1000000 was probably meant as, or ""."""
    found = re.fullmatch(r"\s*(\d{1,18}(?:\.\d+)?)\s*([A-Za-z]*)\s*", text, re.ASCII)
    if found is None:
        return ""
    units = {name.lower(): name for name in _BYTES} | _LETTERS
    unit = units.get(found[2].lower(), "")
    if not found[2] and found[1].isdigit() and int(found[1]) >= _BYTES["KB"]:
        size = int(found[1])
        unit = max((one for one, count in _BYTES.items() if size % count == 0), key=_BYTES.__getitem__)
        return f"{size // _BYTES[unit]} {unit}" if size <= LARGEST else ""
    return f"{found[1]} {unit}" if unit and float(found[1]) * _BYTES[unit] <= LARGEST else ""


class Duration(float):
    """Seconds; in TOML a string with a unit: ms, s, m (or min), h, d."""

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read "500ms" or "1.5 s"; ValueError says what is allowed."""
        found = re.fullmatch(_NUMBER_AND_UNIT, text)
        if found is None or found[2] not in _SECONDS:
            raise ValueError('expected a duration with a unit (ms, s, m, h, d), such as "500ms" or "30s"')
        seconds = float(found[1]) * _SECONDS[found[2]]
        if seconds > LONGEST:
            raise ValueError(f'expected a duration of "{LONGEST // 86400}d" or less')
        return cls(seconds)


class Size(int):
    """Bytes; in TOML a string with a unit: B, kB, MB, GB, KiB, MiB, GiB."""

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read "10 MiB" or "64kB"; ValueError says what is allowed."""
        found = re.fullmatch(_NUMBER_AND_UNIT, text)
        if found is None or found[2] not in _BYTES:
            raise ValueError('expected a size with a unit (B, kB, MB, GB, KiB, MiB, GiB), such as "10 MiB"')
        size = float(found[1]) * _BYTES[found[2]]
        if size > LARGEST:
            raise ValueError(f'expected a size of "{LARGEST // 2**30} GiB" or less')
        return cls(size)


@overload
def option(
    default: EllipsisType, meaning: str, *, secret: bool = False, from_environ: bool = False
) -> Any: ...


@overload
def option(default: T, meaning: str, *, secret: bool = False, from_environ: bool = False) -> T: ...


def option(default: object, meaning: str, *, secret: bool = False, from_environ: bool = False) -> Any:
    """Declare a plugin's option: a field with a default and a sentence that `hostler plugins` shows.

    `...` for the default makes it required. A `secret` one is left out of the plugin's repr.
    One that is `from_environ` names variables of hostler's environment that the plugin reads or hands on, or
    patterns (`*`) of them: `hostler up` hands over their values.
    """
    from dataclasses import field  # noqa: PLC0415 - `hostler wait` needs durations alone

    metadata = {"meaning": meaning, "from_environ": from_environ}
    settings: dict[str, Any] = {"metadata": metadata, "repr": not secret}
    if default is ...:
        return field(**settings)
    if isinstance(default, list | dict | set):
        return field(default_factory=default.copy, **settings)
    return field(default=default, **settings)
