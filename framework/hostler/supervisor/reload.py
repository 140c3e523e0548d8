"""Adds, removes and changes servers while their supervisor runs: one change after the other."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Coroutine, Iterable, Mapping
from dataclasses import replace
from typing import Any, TypeVar

from hostler.concurrency.threads import run_in_thread
from hostler.engine.server import SupervisedServer
from hostler.errors import InvalidConfiguration, ServerError
from hostler.model.diff import Changes, differences
from hostler.model.graph import in_order, require_variables
from hostler.model.schema.diagnostics import likely
from hostler.model.spec import Configuration, ServerSpec
from hostler.model.states import State
from hostler.runtime.quiet_moment import check_moment
from hostler.supervisor.configuration import ConfigurationSource, configuration_of
from hostler.supervisor.exposed_files import refuse_exposed
from hostler.supervisor.listeners import ListenerTasks
from hostler.supervisor.postponed_restarts import PostponedRestarts, QuietMoment, Specs, When, quiet_moment
from hostler.supervisor.registry import ServerRegistry

T = TypeVar("T")

SERVER_ADDED = "server_added"
"""The topic of the notice that a server is there from now on."""


class Reloader:
    """Applies changes to one supervisor's registry. Used on the event loop's thread.

    A change that has begun runs to its end in a task of its own, even if its caller is cancelled. `is_open`
    tells whether the supervisor runs, and is not about to end.
    """

    def __init__(
        self,
        registry: ServerRegistry,
        listeners: ListenerTasks,
        templates: Mapping[str, Callable[..., ServerSpec]],
        is_open: Callable[[], bool],
    ) -> None:
        self._registry = registry
        self._listeners = listeners
        self.templates = templates
        self._is_open = is_open
        self._lock = asyncio.Lock()
        self._tasks: set[asyncio.Task[Any]] = set()
        self._added: set[str] = set()
        self._postponed = PostponedRestarts(Changes(), {}, {}, self._take_rest)

    # -- requests ----------------------------------------------------------------------------

    async def add(
        self, what: str | ServerSpec, name: str | None, parameters: Mapping[str, object]
    ) -> SupervisedServer:
        """See Supervisor.add."""
        self._refuse_unless_open()
        if not isinstance(what, str | ServerSpec):
            raise TypeError(f"expected the name of a template or a ServerSpec, got {what!r}")
        if isinstance(what, str):
            what = await run_in_thread(self._spec_from, what, name, parameters)
        elif name is not None or parameters:
            raise TypeError("a ServerSpec has its name already, and takes no parameters")
        return await self._run_to_end(self._add(what))

    async def remove(self, name: str) -> None:
        """See Supervisor.remove."""
        self._refuse_unless_open()
        await self._run_to_end(self._remove(name))

    async def reload(
        self, configuration: ConfigurationSource, when: When | None, within: float | str
    ) -> Changes:
        """See Supervisor.reload."""
        check_moment(when or "now")
        self._refuse_unless_open()
        if isinstance(configuration, str | os.PathLike):
            await refuse_exposed(self._registry.servers.values())
        wanted = configuration_of(configuration)
        self._registry.read_from(wanted.files)
        changes, postponed = await self._run_to_end(self._reload(wanted, when, within))
        return await postponed.finished() if when == "idle" else changes

    def preview(self, configuration: ConfigurationSource) -> Changes:
        """See Supervisor.changes."""
        wanted = configuration_of(configuration)
        changes = self._changes(self._with_added(wanted.servers))
        return replace(changes, listeners=self._listeners.changes(wanted.listeners))

    def end_waiting(self) -> None:
        """Have nothing more wait for a quiet moment: those servers stay as they are."""
        self._postponed.end()

    async def finished(self) -> None:
        """Wait until no change is under way; a restart that waits for a quiet moment is none."""
        while self._tasks:
            await asyncio.wait(self._tasks)

    # -- one after the other ------------------------------------------------------------------

    async def _run_to_end(self, work: Coroutine[Any, Any, T]) -> T:
        task = asyncio.create_task(self._in_turn(work), name="hostler change")
        self._tasks.add(task)
        task.add_done_callback(self._note_end)
        return await asyncio.shield(task)

    async def _in_turn(self, work: Coroutine[Any, Any, T]) -> T:
        try:
            async with self._lock:
                self._refuse_unless_open()
                return await work
        finally:
            work.close()

    def _note_end(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled():
            # Its caller may be gone, and asyncio complains of an exception that nobody looked at.
            task.exception()

    def _refuse_unless_open(self) -> None:
        if not self._is_open():
            raise ServerError(
                "the supervisor does not run, or is about to end: its servers stay as they are",
                hint="change them inside of `async with Supervisor(...)`",
            )

    # -- add and remove -----------------------------------------------------------------------

    def _spec_from(self, template: str, name: str | None, parameters: Mapping[str, object]) -> ServerSpec:
        if template not in self.templates:
            close = likely(template, self.templates)
            there_are = f"there are: {', '.join(self.templates)}" if self.templates else "there are none"
            hint = f'did you mean "{close}"?' if close else "write a table [templates.NAME] and reload"
            raise InvalidConfiguration(f"there is no template {template!r}; {there_are}", hint=hint)
        if name is None:
            raise InvalidConfiguration(f"a server made of the template {template!r} needs a name")

        return self.templates[template](name, **parameters)

    async def _add(self, spec: ServerSpec) -> SupervisedServer:
        if spec.name in self._registry:
            raise ServerError(
                "there is a server of this name",
                server=spec.name,
                hint="take another name, or remove it first",
            )

        self._registry.apply({**self._registry.specs, **configuration_of(spec).servers})
        self._added.add(spec.name)
        server = self._registry[spec.name]
        server.notice(SERVER_ADDED, "added")

        if spec.autostart:
            server.ask_up()

        return server

    async def _remove(self, name: str) -> None:
        server = self._registry[name]
        self._refuse_if_needed(server)
        await self._stop([name], leaving=[name])
        server.notice("server_removed", "removed")
        self._added.discard(name)
        self._postponed.forget(name)
        self._registry.apply({other: spec for other, spec in self._registry.specs.items() if other != name})

    def _refuse_if_needed(self, server: SupervisedServer) -> None:
        others = [other.name for other in self._registry.values() if server.name in other.needs]
        if others:
            raise ServerError(
                f"it cannot be removed: {', '.join(others)} {'needs' if len(others) == 1 else 'need'} it",
                server=server.name,
                hint=f"remove {', '.join(others)} first",
            )

    async def _stop(
        self, names: Iterable[str], *, leaving: Iterable[str] = (), until_reloaded: bool = False
    ) -> None:
        """Stop these; those that are leaving take no commands any more, unless they cannot be stopped."""
        for name in leaving:
            self._registry[name].desired.accept_commands(False)
        try:
            await self._registry.stop(names, until_reloaded=until_reloaded)
        except ServerError:
            for name in leaving:
                self._registry[name].desired.accept_commands(self._is_open())
            raise

    # -- reload -------------------------------------------------------------------------------

    def _with_added(self, specs: Mapping[str, ServerSpec]) -> dict[str, ServerSpec]:
        """The servers to be: those of the configuration, and those that were added one by one."""
        own = {name: self._registry.specs[name] for name in self._added if name not in specs}
        return {**specs, **own}

    def _changes(self, specs: Specs) -> Changes:
        # Raises before anything is done when their needs do not fit together.
        in_order(specs)
        old = self._registry.specs
        kept = [name for name in specs if name in old]
        changed = {name: differences(old[name], specs[name]) for name in kept if old[name] != specs[name]}

        restarted = [name for name in changed if _is_up(self._registry[name])]
        started = [name for name in specs if name not in old and specs[name].autostart]
        if restarted or started:
            require_variables(specs, [*restarted, *started])

        return Changes(
            added=tuple(name for name in specs if name not in old),
            removed=tuple(name for name in old if name not in specs),
            restarted=tuple(restarted),
            unchanged=tuple(name for name in kept if name not in changed),
            changed=changed,
            when_idle=tuple(self._moments(restarted, specs)),
        )

    def _moments(
        self, names: Iterable[str], specs: Specs, when: When | None = None, within: float | str = 0.0
    ) -> dict[str, QuietMoment]:
        """Those of these servers whose restart waits, and for what."""
        found = {name: quiet_moment(self._registry[name], specs, when, within) for name in names}
        return {name: moment for name, moment in found.items() if moment is not None}

    async def _reload(
        self, configuration: Configuration, when: When | None, within: float | str
    ) -> tuple[Changes, PostponedRestarts]:
        wanted = self._with_added(configuration.servers)
        changes = self._changes(wanted)
        moments = self._moments(changes.restarted, wanted, when, within)
        replacement = self._listeners.prepared(configuration.listeners)
        changes = replace(changes, when_idle=tuple(moments), listeners=replacement.changes)
        self._postponed.end()
        postponed = PostponedRestarts(changes, configuration.servers, moments, self._take_rest)
        await self._apply(postponed)
        self._listeners.take(replacement)
        self._added.difference_update(configuration.servers)
        self.templates = configuration.templates
        self._postponed = postponed
        postponed.begin()
        return changes, postponed

    async def _take_rest(self, postponed: PostponedRestarts) -> None:
        """Apply what waited, unless a later reload has taken its place."""
        if postponed is self._postponed:
            await self._run_to_end(self._apply_rest(postponed))

    async def _apply_rest(self, postponed: PostponedRestarts) -> None:
        if postponed is self._postponed:
            await self._apply(postponed)

    async def _apply(self, postponed: PostponedRestarts) -> None:
        """Apply all that does not wait."""
        wanted = postponed.beside_waiting(self._with_added(postponed.specs), self._registry.specs)
        changes = self._changes(wanted)
        await self._stop_changed(changes)
        self._refuse_unless_open()
        self._notify(changes)
        self._registry.apply(wanted)
        self._start(changes)

    async def _stop_changed(self, changes: Changes) -> None:
        """Stop what is removed or changed. If something cannot be stopped, start again what was up."""
        names = [*changes.removed, *self._busy(changes)]
        try:
            await self._stop(names, leaving=changes.removed, until_reloaded=True)
            # Somebody may start one again while the others stop.
            while busy := self._busy(changes):
                await self._stop(busy, until_reloaded=True)
        except ServerError:
            changed = [self._registry[name] for name in (*changes.removed, *changes.changed)]
            for server in filter(_is_up, changed) if self._is_open() else ():
                if server.status.unkillable is None:
                    server.ask_up()
            raise

    def _busy(self, changes: Changes) -> list[str]:
        return [name for name in changes.changed if not self._registry[name].state.at_rest]

    def _notify(self, changes: Changes) -> None:
        for name in changes.removed:
            self._registry[name].notice("server_removed", "removed")
        for name, keys in changes.changed.items():
            names = [change.key for change in keys]
            self._registry[name].notice("server_changed", f"changed: {', '.join(names)}", keys=names)

    def _start(self, changes: Changes) -> None:
        """Start what is new or was up, and what had failed only because that was down."""
        registry = self._registry
        restarted = [name for name in changes.changed if _is_up(registry[name])]
        started = [*restarted, *(name for name in changes.added if registry[name].spec.autostart)]

        for name in changes.added:
            registry[name].notice(SERVER_ADDED, "added")

        for name in in_order(registry.specs):
            server = registry[name]
            waits = server.state is State.FAILED and any(need in started for need in server.needs)
            if waits and server.desired.is_up and name not in started:
                started.append(name)

        for name in started:
            registry[name].ask_up(planned=name in restarted)


def _is_up(server: SupervisedServer) -> bool:
    """Whether it is wanted up, if only after a reload, or is a task that has completed: it runs again."""
    return server.desired.is_up or server.desired.until_reloaded or server.completed
