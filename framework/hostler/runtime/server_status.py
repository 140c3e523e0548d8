"""What is known of a server at one moment."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct, field

from hostler.errors import ServerError
from hostler.events.crash import CrashRecord
from hostler.model.states import State
from hostler.plugins.hook_stats import HookAccounting
from hostler.runtime.base_run import Run
from hostler.runtime.restart_budget import Budget


class ServerStatus(Struct, frozen=True):
    """Published by the server's lifecycle after each change; nobody else makes one.

    `deactivations` counts how often it became stopped or failed. `unkillable` is why what is left of it
    cannot be stopped, `promised_port` the port that was chosen for the run, before anything listens at it.
    `hooks` counts what its plugins do, since they were built for the last start.
    `dependency_generations` are the runs of the needed servers that its start has waited for.
    """

    state: State = State.STOPPED
    error: ServerError | None = None
    generation: int = 0
    spawned_generation: int = 0
    restarts: int = 0
    deactivations: int = 0
    budget: Budget = field(default_factory=Budget)
    run: Run | None = None
    promised_port: int | None = None
    unkillable: ServerError | None = None
    crashes: tuple[CrashRecord, ...] = ()
    hooks: HookAccounting | None = None
    dependency_generations: Mapping[str, int] = field(default_factory=dict)
