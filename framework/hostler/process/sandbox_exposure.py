"""Files that hostler reads at a reload, and that a server in a sandbox could have changed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from hostler.model.launch import Launch


@dataclass(slots=True, eq=False)
class Exposure:
    """The files that ended runs could have changed, with the server's name, until they are reported."""

    _files: dict[Path, str] = field(default_factory=dict)

    def note(self, launch: Launch | None, inputs: Iterable[Path]) -> None:
        """Note what a run could change, before the run is forgotten."""
        name = "" if launch is None else launch.server
        self._files.update(dict.fromkeys(exposed(launch, inputs), name))

    def take(self) -> Mapping[Path, str]:
        """Return what was noted, and forget it."""
        files, self._files = self._files, {}
        return files


def exposed(launch: Launch | None, inputs: Iterable[Path]) -> list[Path]:
    """The inputs of hostler that a run may write, although it is in a sandbox."""
    confinement = None if launch is None else launch.confinement
    return [] if confinement is None else [path for path in inputs if confinement.may_write(path)]
