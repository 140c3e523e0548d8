"""`hostler run` reloads its configuration on SIGHUP."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import anyio

from hostler.cli.import_deadline import SECONDS
from hostler.cli.output.views import View
from hostler.concurrency.threads import run_in_thread
from hostler.errors import InvalidConfiguration, ServerError
from hostler.files.session_keyring import leave_session_keys
from hostler.model.diff import Changes, ListenerChanges
from hostler.model.spec import Configuration
from hostler.model.states import State
from hostler.supervisor.exposed_files import refuse_exposed
from hostler.supervisor.handle import engine_of
from hostler.supervisor.supervisor import Supervisor

_LESS_RIGHTS = {"privileges", "sandbox"}


@dataclass(slots=True, eq=False, repr=False)
class Reloading:
    """Loads a configuration, shows its changes and applies them. With an error the running one stays."""

    supervisor: Supervisor
    load: Callable[[], Configuration]
    view: View
    _requested: asyncio.Event = field(default_factory=asyncio.Event)

    def request(self) -> None:
        """Request a reload. All requests during one are served by a single reload after it."""
        self._requested.set()

    async def serve(self) -> None:
        """Serve requests without end."""
        while True:
            await self._requested.wait()
            self._requested.clear()
            try:
                await self.reload()
            except ServerError as error:
                self.view.show_message(str(error), error=True)
                self.view.show_message("reload failed; the running configuration is unchanged", error=True)

    async def reload(self, *, dry_run: bool = False) -> Changes:
        """Read the configuration, and apply it unless `dry_run`; errors as in Supervisor.reload."""
        configuration = await self._read()
        failed = [server.name for server in self.supervisor.servers.values() if server.state is State.FAILED]
        changes = self.supervisor.changes(configuration)
        if dry_run:
            return changes
        again = [name for name in failed if name in changes.unchanged]
        for line in lines(changes, again):
            self.view.show_message(line)

        self.view.learn_names(configuration)
        keep_session_keys(configuration)
        await self.supervisor.reload(configuration)
        for name in again:
            server = self.supervisor.servers.get(name)
            if server is not None and server.state is State.FAILED:
                engine_of(server).ask_up()
        return changes

    async def _read(self) -> Configuration:
        await refuse_exposed(map(engine_of, self.supervisor.servers.values()))

        try:
            with anyio.fail_after(SECONDS):
                configuration = await run_in_thread(self.load, abandon_on_cancel=True)
        except TimeoutError:
            what = f"reading the configuration is not finished after {SECONDS} s"
            raise InvalidConfiguration(f"{what}: the import of a plugin hangs, or a disk") from None

        # A server may have replaced a file while it was read.
        await refuse_exposed(map(engine_of, self.supervisor.servers.values()))
        return configuration


def lines(changes: Changes, again: Sequence[str] = ()) -> Iterator[str]:
    """What a reload changes, for people; `again` names those that had failed and are started again."""
    if not changes and not again:
        yield "reload: nothing has changed"
        return

    yield "reload:"
    yield from (f"  {name}: removed" for name in changes.removed)

    for name, keys in changes.changed.items():
        restarted = "restarted when nothing runs on it" if name in changes.when_idle else "restarted"
        yield f"  {name}: {restarted if name in changes.restarted else 'changed, and not running'}"
        yield from (f"    {change}" for change in keys)

    yield from (f"  {name}: added" for name in changes.added)

    yield from _listener_lines(changes.listeners)

    yield from (f"  {name}: had failed, and is started again" for name in again)
    if unchanged := [name for name in changes.unchanged if name not in again]:
        yield f"  unchanged: {', '.join(unchanged)}"


def _listener_lines(changes: ListenerChanges) -> Iterator[str]:
    yield from (f"  listener {name}: removed" for name in changes.removed)

    for name, keys in changes.changed.items():
        yield f"  listener {name}: begins anew"
        yield from (f"    {change}" for change in keys)

    yield from (f"  listener {name}: added" for name in changes.added)


def keep_session_keys(configuration: Configuration) -> None:
    """Leave the session keyring for good where a server has less rights than we; on the event loop's thread.

    All that is started comes from this thread, and a keyring that was left cannot be joined again.
    """
    specs = configuration.servers.values()
    if any(
        spec.user or spec.group or _LESS_RIGHTS & {plugin.name for plugin in spec.plugins} for spec in specs
    ):
        leave_session_keys()
