"""The limit of open files: ours is raised when many servers need it, theirs stays as it was."""

from __future__ import annotations

import resource
import sys
from contextlib import suppress

from hostler.process.spawn.privileges import limit_prefix

_FEW = 512
_MOST = 2**19  # as under systemd: what we start to look at something may go through all numbers


class DescriptorLimit:
    """The soft limit of this process, which nobody changes before `allow`."""

    def __init__(self) -> None:
        self._raise_from = sys.maxsize
        self.option = ""

    def allow(self) -> None:
        """Raise it when half of it is used, or at once where it is low: to the hard limit."""
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        # Servers keep it, as programs may depend on it (select): nothing is raised where that cannot be done.
        if soft != hard and soft < _MOST and limit_prefix("--nofile"):
            self._raise_from = soft // 2
            self.note(soft if soft < _FEW else None)

    def note(self, descriptor: int | None) -> None:
        """Take note of a new descriptor: the lowest free numbers are given out first."""
        if descriptor is None or descriptor < self._raise_from:
            return
        self._raise_from = sys.maxsize
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        with suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, _MOST), hard))
            self.option = f"--nofile={soft}:"

    def prefix(self) -> list[str]:
        """What stands in front of a command that is to have the soft limit that we had."""
        return limit_prefix(self.option)
