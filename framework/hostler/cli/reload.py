"""`hostler run` reloads its configuration on SIGHUP."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import anyio

from hostler.cli.import_deadline import SECONDS
from hostler.cli.output import View
from hostler.concurrency.threads import run_in_thread
from hostler.errors import InvalidConfiguration, ServerError
from hostler.files.session_keyring import leave_session_keys
from hostler.model.diff import Changes
from hostler.model.spec import Configuration
from hostler.model.states import State
from hostler.supervisor.reload import refuse_exposed
from hostler.supervisor.supervisor import Supervisor

_LESS_RIGHTS = {"privileges", "sandbox"}


@dataclass(slots=True)
class Reloading:
    """Loads, says what will change, and applies it. If anything is wrong, the running configuration stays."""

    supervisor: Supervisor
    load: Callable[[], Configuration]
    view: View
    _asked: asyncio.Event = field(default_factory=asyncio.Event)

    def ask(self) -> None:
        """Have it done; what is asked for while one is under way is done once, after it."""
        self._asked.set()

    async def serve(self, on_added: Callable[[str], None]) -> None:
        """Do what is asked for, without end; `on_added` is called with the name of each new server."""
        while True:
            await self._asked.wait()
            self._asked.clear()
            try:
                changes = await self._reload()
            except ServerError as error:
                self.view.show_message(str(error), error=True)
                self.view.show_message("reload failed; the running configuration is unchanged", error=True)
                continue
            for name in changes.added:
                on_added(name)

    async def _reload(self) -> Changes:
        configuration = await self._read()
        failed = [server.name for server in self.supervisor.servers.values() if server.state is State.FAILED]
        changes = self.supervisor.changes(configuration)
        again = [name for name in failed if name in changes.unchanged]
        for line in lines(changes, again):
            self.view.show_message(line)

        self.view.learn_names(configuration)
        keep_session_keys(configuration)
        changes = await self.supervisor.reload(configuration)
        self._try_again(again)
        return changes

    async def _read(self) -> Configuration:
        await refuse_exposed(self.supervisor.servers.values())

        try:
            with anyio.fail_after(SECONDS):
                configuration = await run_in_thread(self.load, abandon_on_cancel=True)
        except TimeoutError:
            what = f"reading the configuration has not ended after {SECONDS} s"
            raise InvalidConfiguration(f"{what}: the import of a plugin hangs, or a disk") from None

        # A server may have replaced a file while it was read.
        await refuse_exposed(self.supervisor.servers.values())
        return configuration

    def _try_again(self, names: Iterable[str]) -> None:
        for name in names:
            server = self.supervisor.servers.get(name)
            if server is not None and server.state is State.FAILED:
                server.ask_up()


def lines(changes: Changes, again: Sequence[str] = ()) -> Iterator[str]:
    """What a reload changes, for people; `again` names those that had failed and are tried again."""
    if not changes and not again:
        yield "reload: nothing has changed"
        return

    yield "reload:"
    yield from (f"  {name}: removed" for name in changes.removed)

    for name, keys in changes.changed.items():
        yield f"  {name}: {'restarted' if name in changes.restarted else 'changed, and not running'}"
        yield from (f"    {change}" for change in keys)

    yield from (f"  {name}: added" for name in changes.added)

    yield from (f"  {name}: had failed, is tried again" for name in again)
    if unchanged := [name for name in changes.unchanged if name not in again]:
        yield f"  unchanged: {', '.join(unchanged)}"


def keep_session_keys(configuration: Configuration) -> None:
    """Leave the session keyring for good where a server has less rights than we; on the event loop's thread.

    All that is started comes from this thread, and a keyring that was left cannot be joined again.
    """
    specs = configuration.servers.values()
    if any(
        spec.user or spec.group or _LESS_RIGHTS & {plugin.name for plugin in spec.plugins} for spec in specs
    ):
        leave_session_keys()
