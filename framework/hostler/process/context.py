"""What all servers of one supervisor share."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from hostler.concurrency.affinity import LoopAffinity
from hostler.model.launch import Launch
from hostler.process.disk.directories import Directories
from hostler.process.disk.run_record import RunStore
from hostler.process.output.capture import OutputReader
from hostler.process.system import Processes


@dataclass(slots=True, eq=False)
class Exposure:
    """The files that ended runs in a sandbox could have changed although hostler reads them at a reload.

    Each with the server's name, until it is reported.
    """

    _files: dict[Path, str] = field(default_factory=dict)

    def note(self, launch: Launch | None, inputs: Callable[[], Iterable[Path]]) -> None:
        """Note what a run could change of the `inputs`, before the run is forgotten."""
        name = "" if launch is None else launch.server
        self._files.update(dict.fromkeys(exposed(launch, inputs), name))

    def take(self) -> Mapping[Path, str]:
        """Return what was noted, and forget it."""
        files, self._files = self._files, {}
        return files


def exposed(launch: Launch | None, inputs: Callable[[], Iterable[Path]]) -> list[Path]:
    """The inputs of hostler that a run may write, although it is in a sandbox."""
    confinement = None if launch is None else launch.confinement
    return [] if confinement is None else [path for path in inputs() if confinement.may_write(path)]


@dataclass(frozen=True, slots=True, kw_only=True)
class SupervisorContext:
    """One supervisor's resources: directories, the output thread, run records, hostler's own environment.

    `host_env` is that environment as it was in the beginning, `live_env` as it is: where secrets are read.
    `clock` is the event loop's, in seconds. `jitter` gives random numbers from 0 to 1.
    `affinity` is the process and the event loop that may use it.
    `inputs` gives the files that hostler reads at a start or a reload of any of its servers.
    `inputs_of_starts` gives those that are read whenever one of its servers starts, and whether they have to
    be there. `outputs` gives the folders in which hostler writes files for its servers that run.
    `exposure` knows which of them a server in a sandbox could have changed.
    `ports_in_use` gives the ports that other servers of this supervisor have or were promised.
    """

    namespace: str
    directories: Directories
    data_dir: Path
    output: OutputReader
    store: RunStore
    host_env: Mapping[str, str]
    live_env: Mapping[str, str] = field(default_factory=lambda: os.environ)
    processes: Processes = field(default_factory=Processes)
    clock: Callable[[], float] = time.monotonic
    jitter: Callable[[], float] = field(default=random.random)
    affinity: LoopAffinity = field(default_factory=LoopAffinity)
    ports_in_use: Callable[[], set[int]] = field(default=set)
    inputs: Callable[[], tuple[Path, ...]] = field(default=tuple)
    inputs_of_starts: Callable[[], Mapping[Path, bool]] = field(default=dict)
    outputs: Callable[[], tuple[Path, ...]] = field(default=tuple)
    exposure: Exposure = field(default_factory=Exposure)
