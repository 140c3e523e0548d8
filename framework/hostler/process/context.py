"""What all servers of one supervisor share."""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from msgspec import Struct, field

from hostler.model.launch import Launch
from hostler.process.affinity import LoopAffinity
from hostler.process.disk.directories import Directories, SecuredFolders
from hostler.process.disk.run_record import RunStore
from hostler.process.output.capture import OutputReader
from hostler.process.system import Processes


class Exposure(Struct, eq=False):
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


class Claims(Struct, eq=False):
    """What the servers that run have: each start asks, and would otherwise look at all of them."""

    _ports: dict[str, int] = field(default_factory=dict)
    _launches: dict[str, tuple[Launch, int, int]] = field(default_factory=dict)
    _folders: Counter[Path] = field(default_factory=Counter)

    def note(self, server: str, port: int | None, launch: Launch | None) -> None:
        """Note the port that a server has or was promised, and how its run was launched."""
        if port:
            self._ports[server] = port
        else:
            self._ports.pop(server, None)

        before, others, seen = self._launches.get(server, (None, 0, 0))
        if before is launch and (launch is None or seen == len(launch.outputs)):
            return  # so it is after most changes of a status
        if before is not None and before is not launch:
            self._folders.subtract(before.outputs[others:seen])
            del self._launches[server]
        if launch is not None:
            if before is not launch:
                # It begins with the folders of others. What its plugins add follows.
                others = seen = len(launch.outputs)
            self._folders.update(launch.outputs[seen:])
            self._launches[server] = launch, others, len(launch.outputs)

    def ports(self) -> set[int]:
        """The ports that the servers have, or will have."""
        return set(self._ports.values())

    def outputs(self) -> list[Path]:
        """The folders in which hostler writes files for servers that run."""
        self._folders = +self._folders  # without those that nobody has any more
        return list(self._folders)


def _random() -> float:
    return int.from_bytes(os.urandom(4), "big") / 2**32  # the module `random` takes 1 ms to import


class SupervisorContext(Struct, frozen=True, kw_only=True):
    """One supervisor's resources: directories, the output thread, run records, hostler's own environment.

    `host_env` is that environment as it was in the beginning, `live_env` as it is: where secrets are read.
    `clock` is the event loop's, in seconds. `jitter` gives random numbers from 0 to 1.
    `affinity` is the process and the event loop that may use it.
    `inputs` gives the files that hostler reads at a start or a reload of any of its servers.
    `inputs_of_starts` gives those that are read whenever one of its servers starts, and whether they have to
    be there.
    `exposure` knows which of them a server in a sandbox could have changed.
    `claims` knows the ports of its servers and the folders in which hostler writes files for them.
    `folders` knows which of its directories were found in order.
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
    jitter: Callable[[], float] = field(default=_random)
    affinity: LoopAffinity = field(default_factory=LoopAffinity)
    inputs: Callable[[], tuple[Path, ...]] = field(default=tuple)
    inputs_of_starts: Callable[[], Mapping[Path, bool]] = field(default=dict)
    exposure: Exposure = field(default_factory=Exposure)
    claims: Claims = field(default_factory=Claims)
    folders: SecuredFolders = field(default_factory=SecuredFolders)
