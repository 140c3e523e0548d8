"""What differs between the versions of OpenCode, as one table."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

Name = Literal["early", "open", "stable", "next"]

# With a broken opencode.json the server starts, and answers every request with this error: no restart helps.
PERMANENT_BODIES = (r'"(?:name|_tag)"\s*:\s*"Config\w*Error"',)


@dataclass(frozen=True, slots=True)
class Profile:
    """One family of versions: its paths, how it takes a password, and how it releases its children.

    `probe` is a cheap path that needs the password and that every version of the family serves itself
    (some hand unknown paths on to another host). `keeps_password` tells
    that the server has a password file of its own and asks for it always; others take it from a variable.
    """

    name: Name
    health_path: str
    probe: str
    dispose: str | None
    keeps_password: bool


# The probes are paths that exist: from 1.14 on every unknown path is answered 200 with a page, and 1.0.185 to
# 1.3.2 fetch it from the vendor's site. /global/health (1.1.34) does not touch the project, so it is cheap.
EARLY = Profile("early", "/event", "/doc", None, keeps_password=False)
OPEN = Profile("open", "/event", "/doc", "/global/dispose", keeps_password=False)
STABLE = Profile("stable", "/event", "/global/health", "/global/dispose", keeps_password=False)
NEXT = Profile("next", "/api/event", "/api/health", None, keeps_password=True)

_NAMED = {profile.name: profile for profile in (EARLY, OPEN, STABLE, NEXT)}
# 1.0.185 brought /global/dispose, 1.1.34 the password, 2.0 other paths and a password file.
_SINCE = ((2, 0, 0), NEXT), ((1, 1, 34), STABLE), ((1, 0, 185), OPEN), ((0, 0, 1), EARLY)


def profile_of(version: str, *, preview: bool = False, name: Name | None = None) -> Profile:
    """The profile asked for by name, else that of the version; an unknown version counts as a new one."""
    if name is not None:
        return _NAMED[name]
    if preview:
        return NEXT
    numbers = version_numbers(version)
    return next((profile for since, profile in _SINCE if numbers >= since), STABLE)


def tells_activity(profile: Profile, version: str) -> bool:
    """Whether a version tells all that runs in a directory; an unknown version counts as a new one."""
    # 1.0.185 and 1.1.34 say that a session is idle while its shell runs.
    numbers = version_numbers(version)
    return profile is STABLE and (numbers == (0, 0, 0) or numbers >= (1, 14, 0))


def version_numbers(version: str) -> tuple[int, int, int]:
    """Three numbers to compare by; (0, 0, 0) where a version has none, as those of development builds."""
    found = re.match(r"v?(\d+)\.(\d+)\.(\d+)", version)
    return (int(found[1]), int(found[2]), int(found[3])) if found else (0, 0, 0)
