"""The listeners of one supervisor: from before the first start to after the last stop."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import cast

from hostler.concurrency.broadcast import Broadcast
from hostler.errors import InvalidConfiguration, PluginError
from hostler.events.events import Event
from hostler.model.interpolation import InterpolationError, expand, expand_all
from hostler.model.spec import ListenerSpec
from hostler.plugins.hidden_options import hidden_of
from hostler.supervisor.listener import Listener, ListenerSetting, Listening


class ListenerTasks:
    """Runs the listeners of one supervisor, each in its own task; no fault of one reaches anything else.

    Raises PluginError for an object that is none, and for options that cannot be used.
    """

    def __init__(
        self,
        configured: Mapping[str, ListenerSpec],
        given: Mapping[str, Listener],
        setting: ListenerSetting,
    ) -> None:
        self._setting = setting
        own = {name: ListenerSpec(name, instance=listener) for name, listener in given.items()}
        # A program's own goes before that of the file: a test stands in for what would be sent.
        self._specs = {**configured, **own}
        self._listeners = {name: self._made(spec) for name, spec in self._specs.items()}
        self._tasks: dict[asyncio.Task[None], Listening] = {}

    def begin(self, channel: Broadcast[Event]) -> None:
        """Have them follow the channel from now on."""
        for name, listener in self._listeners.items():
            secrets = {*self._specs[name].secrets, *hidden_of(listener)}
            listening = Listening(name, listener, secrets, channel.subscribe(), self._setting)
            self._tasks[asyncio.create_task(listening.run(), name=f"listener {name}")] = listening

    async def close(self) -> None:
        """Give them their last events, within a bounded time; what resists its cancellation is left."""
        for listening in self._tasks.values():
            listening.end()
        await self._finish(self._tasks)

    def cancel(self) -> None:
        """Cancel them without waiting, and without their last events: they are not this process's."""
        for task in self._tasks:
            task.cancel()

    async def _finish(self, tasks: Iterable[asyncio.Task[None]]) -> None:
        for wait in (self._setting.patience.last, 1.0):
            running = [task for task in tasks if not task.done()]
            if running:
                await asyncio.wait(running, timeout=wait)
                for task in running:
                    task.cancel()

    def _made(self, spec: ListenerSpec) -> Listener:
        # Not above: a supervisor without listeners needs none of it.
        from hostler.plugins.options import build  # noqa: PLC0415

        if spec.unset:
            raise InvalidConfiguration(spec.unset)
        try:
            options = cast("Mapping[str, object]", expand_all(spec.options, self._filled))
        except InterpolationError as error:
            raise PluginError(f'listener "{spec.name}": {error}') from None
        return cast("Listener", build(replace(spec, options=options)))

    def _filled(self, text: str) -> str:
        return expand(text, self._setting.environ.get)
