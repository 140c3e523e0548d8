"""The listeners of one supervisor: from before the first start to after the last stop."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import cast

from hostler.concurrency.broadcast import Broadcast
from hostler.errors import InvalidConfiguration, PluginError
from hostler.events.events import Event, Notice
from hostler.model.dataclass import dataclass
from hostler.model.diff import Change, ListenerChanges, listener_differences
from hostler.model.interpolation import InterpolationError, expand, expand_all
from hostler.model.spec import ListenerSpec, environ_of
from hostler.plugins.hidden_options import hidden_in, hidden_of
from hostler.supervisor.listener import Listener, ListenerSetting, Listening


@dataclass(frozen=True, slots=True)
class Replacement:
    """The listeners to be, with the objects that are made already: taking them cannot fail."""

    changes: ListenerChanges
    specs: Mapping[str, ListenerSpec]
    made: Mapping[str, Listener]


class ListenerTasks:
    """Runs the listeners of one supervisor, each in its own task; no fault of one reaches anything else.

    `configured` are those of a file, which a reload may replace; those `given` by the program stay. Raises
    PluginError for an object that is none, and for options that cannot be used.
    """

    def __init__(
        self,
        configured: Mapping[str, ListenerSpec],
        given: Mapping[str, Listener],
        setting: ListenerSetting,
    ) -> None:
        self._setting = setting
        # A program's own goes before that of the file: a test stands in for what would be sent.
        self._given = {name: ListenerSpec(name, instance=listener) for name, listener in given.items()}
        self._specs: Mapping[str, ListenerSpec] = {**configured, **self._given}
        self._listeners = {name: self._made(spec) for name, spec in self._specs.items()}
        self._channel: Broadcast[Event] | None = None
        self._running: dict[str, Listening] = {}
        self._tasks: dict[Listening, asyncio.Task[None]] = {}
        self._retiring: set[asyncio.Task[None]] = set()
        self._last = setting.patience.last

    def begin(self, channel: Broadcast[Event]) -> None:
        """Have them follow the channel from now on."""
        self._channel = channel
        for name in self._specs:
            self._begin(name, channel)

    async def close(self) -> None:
        """Give them their last events, within a bounded time; what resists its cancellation is left."""
        for listening in self._running.values():
            listening.end()
        await self._finish(self._tasks[one] for one in self._running.values())
        if self._retiring:
            await asyncio.wait(self._retiring)

    def hurry(self) -> None:
        """Wait no longer for those that have their last events, or will get them."""
        self._last = 0.0
        self.cancel()

    def cancel(self) -> None:
        """Cancel them without waiting, and without their last events: they are not this process's."""
        for task in (*self._tasks.values(), *self._retiring):
            task.cancel()

    # -- reload -------------------------------------------------------------------------------

    def changes(self, configured: Mapping[str, ListenerSpec]) -> ListenerChanges:
        """What would change if these were those of the file. Raises PluginError for a class that is gone."""
        old, new = self._specs, {**configured, **self._given}
        changed = {name: self._differences(name, new[name]) for name in new if name in old}
        return ListenerChanges(
            added=tuple(name for name in new if name not in old),
            removed=tuple(name for name in old if name not in new),
            changed={name: keys for name, keys in changed.items() if keys},
        )

    def _differences(self, name: str, new: ListenerSpec) -> tuple[Change, ...]:
        from hostler.plugins.discovery import find_class  # noqa: PLC0415 - as below

        old = self._specs[name]
        if old != new:
            return listener_differences(old, new, [*hidden_in(old), *hidden_in(new)])
        if new.instance is None and find_class(new) is not type(self._listeners[name]):
            return (Change("use", new.use, f"{new.use} (edited)"),)
        return ()

    def prepared(self, configured: Mapping[str, ListenerSpec]) -> Replacement:
        """Make what is new of these. Raises PluginError or InvalidConfiguration, and nothing has changed."""
        changes, specs = self.changes(configured), {**configured, **self._given}
        made = {name: self._made(specs[name]) for name in (*changes.added, *changes.changed)}
        return Replacement(changes, specs, made)

    def take(self, replacement: Replacement) -> None:
        """End those that are gone or changed, which get what waits for them yet, and begin the new ones."""
        changes, channel = replacement.changes, self._channel
        assert channel is not None
        for name in (*changes.removed, *changes.changed):
            self._retire(self._running.pop(name))
        self._specs = replacement.specs
        self._listeners |= replacement.made
        for name in replacement.made:
            self._begin(name, channel)
        self._notify(changes)

    def _notify(self, changes: ListenerChanges) -> None:
        for name in changes.removed:
            self._notice("listener_removed", name, "removed")
        for name, keys in changes.changed.items():
            names = [change.key for change in keys]
            self._notice("listener_changed", name, f"changed: {', '.join(names)}", keys=names)
        for name in changes.added:
            self._notice("listener_added", name, "added")

    def _notice(self, topic: str, name: str, text: str, **details: object) -> None:
        about = {"listener": name, **details}
        self._setting.publish(Notice(server="", generation=0, topic=topic, text=text, details=about))

    # -- tasks --------------------------------------------------------------------------------

    def _begin(self, name: str, channel: Broadcast[Event]) -> None:
        listener = self._listeners[name]
        secrets = {*self._specs[name].secrets, *hidden_of(listener)}
        environ = environ_of(self._specs[name], self._setting.environ)
        setting = ListenerSetting(self._setting.publish, environ, self._setting.patience)
        listening = Listening(name, listener, secrets, channel.subscribe(), setting)
        self._running[name] = listening
        self._tasks[listening] = asyncio.create_task(listening.run(), name=f"listener {name}")

    def _retire(self, listening: Listening) -> None:
        listening.end()
        task = self._tasks.pop(listening)
        finishing = asyncio.create_task(self._finish([task]), name=f"end of {task.get_name()}")
        self._retiring.add(finishing)
        finishing.add_done_callback(self._retiring.discard)

    async def _finish(self, tasks: Iterable[asyncio.Task[None]]) -> None:
        waited = list(tasks)
        for wait in (self._last, 1.0):
            running = [task for task in waited if not task.done()]
            if running:
                await asyncio.wait(running, timeout=wait)
                for task in running:
                    task.cancel()

    # -- objects ------------------------------------------------------------------------------

    def _made(self, spec: ListenerSpec) -> Listener:
        # Not above: a supervisor without listeners needs none of it.
        from hostler.plugins.options import build  # noqa: PLC0415

        if spec.unset:
            raise InvalidConfiguration(spec.unset)
        try:
            environ = environ_of(spec, self._setting.environ)
            options = cast(
                "Mapping[str, object]", expand_all(spec.options, lambda text: expand(text, environ.get))
            )
        except InterpolationError as error:
            raise PluginError(f'listener "{spec.name}": {error}') from None
        return cast("Listener", build(replace(spec, options=options)))
