"""`hostler run` reloads its configuration on SIGHUP."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, field, replace
from fnmatch import fnmatchcase
from typing import TypeVar

import anyio

from hostler.cli.import_deadline import SECONDS
from hostler.cli.output.change_lines import change_lines
from hostler.cli.output.views import View
from hostler.concurrency.threads import run_in_thread
from hostler.errors import InvalidConfiguration, ServerError
from hostler.files.session_keyring import leave_session_keys
from hostler.model.dataclass import dataclass
from hostler.model.diff import Change, Changes, control_differences
from hostler.model.spec import Configuration, ControlSpec, ServerSpec
from hostler.model.states import State
from hostler.secrets.credentials import MASK
from hostler.supervisor.context import descriptors_of
from hostler.supervisor.exposed_files import refuse_exposed
from hostler.supervisor.handle import engine_of
from hostler.supervisor.supervisor import Supervisor

T = TypeVar("T")

_LESS_RIGHTS = {"privileges", "sandbox"}


@dataclass(slots=True, eq=False, repr=False)
class Reloading:
    """Loads a configuration, shows its changes and applies them. With an error the running one stays.

    `load` reads it with the environment that it is given. What was handed over takes the place of this
    process's own environment, from then on; its values are in no message. `control` is what it began with.
    """

    supervisor: Supervisor
    load: Callable[[Mapping[str, str]], Configuration]
    view: View
    control: ControlSpec = field(default_factory=ControlSpec)
    is_ending: Callable[[], bool] = lambda: False
    _handed: Mapping[str, str | None] = field(default_factory=dict, repr=False)
    _lock: asyncio.Lock = field(default_factory=asyncio.Lock)
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
                if self.is_ending():  # a SIGHUP that came just before a Ctrl-C
                    return
                self.view.show_message(str(error), error=True)
                self.view.show_message("reload failed; the running configuration is unchanged", error=True)

    async def reload(
        self, *, dry_run: bool = False, environ: Mapping[str, str | None] | None = None
    ) -> Changes:
        """Read the configuration, and apply it unless `dry_run`; errors as in Supervisor.reload.

        `environ` is handed over: variables with their values, None for one that is not set.
        """
        async with self._lock:
            handed = {**self._handed, **(environ or {})}
            configuration, hidden, before = await self._read(handed), self._values(handed), self._handed
            try:
                # Before it is done: it goes on where whoever asked for it is gone.
                self._handed = before if dry_run else handed
                return await self._take(configuration, hidden, dry_run=dry_run)
            except ServerError:
                self._handed = before
                raise

    async def variables(self) -> tuple[set[str], set[str]]:
        """The variables that the configuration refers to as it is on disk now; names, and patterns of names.

        Those of our own environment that a pattern means are among the names.
        """
        from hostler.config.variables import NotedEnviron, words_of  # noqa: PLC0415 - few runs are asked

        own = _laid_over(self._handed)
        environ = NotedEnviron(own)
        words: set[str] = set()
        with suppress(InvalidConfiguration):  # a reload tells it
            words = words_of(await self._loaded(environ, self.load))
        patterns = {word for word in words if set("*?[") & set(word)}
        meant = {name for name in own if any(fnmatchcase(name, pattern) for pattern in patterns)}
        return environ.asked | (words - patterns) | meant, patterns

    def _values(self, handed: Mapping[str, str | None]) -> set[str]:
        """The values of what was handed over, as they were and as they will be."""
        old = _laid_over(self._handed)
        return {value for name, new in handed.items() for value in (old.get(name), new) if value}

    async def _take(self, configuration: Configuration, hidden: set[str], *, dry_run: bool) -> Changes:
        failed = [server.name for server in self.supervisor.servers.values() if server.state is State.FAILED]
        control = control_differences(self.control, configuration.control)
        changes = _without(hidden, replace(self.supervisor.changes(configuration), control=control))
        if dry_run:
            return changes
        again = [name for name in failed if name in changes.unchanged]
        for line in () if self.is_ending() else lines(changes, again):
            self.view.show_message(line)

        self.view.learn_names(configuration)
        keep_session_keys(self.supervisor, configuration.servers.values())
        await self.supervisor.reload(configuration)
        for name in again:
            server = self.supervisor.servers.get(name)
            if server is not None and server.state is State.FAILED:
                engine_of(server).ask_up()
        return changes

    async def _read(self, handed: Mapping[str, str | None]) -> Configuration:
        configuration = await self._loaded(_laid_over(handed), self.load)
        missing = [name for name, value in handed.items() if not value]
        lost = [name for name in missing if os.environ.get(name) or self._handed.get(name)]
        if not (lost or _different(handed)):
            return configuration
        from hostler.config.variables import with_environ  # noqa: PLC0415 - as above

        return with_environ(configuration, _different(handed), lost)

    async def show(self, read: Callable[[Mapping[str, str]], T]) -> T:
        """What `read` reads with the environment that counts for the configuration now."""
        return await self._loaded(_laid_over(self._handed), read)

    async def _loaded(self, environ: Mapping[str, str], load: Callable[[Mapping[str, str]], T]) -> T:
        await refuse_exposed(map(engine_of, self.supervisor.servers.values()))

        try:
            with anyio.fail_after(SECONDS):
                loaded = await run_in_thread(load, environ, abandon_on_cancel=True)
        except TimeoutError:
            what = f"reading the configuration is not finished after {SECONDS} s"
            raise InvalidConfiguration(f"{what}: the import of a plugin hangs, or a disk") from None

        # A server may have replaced a file while it was read.
        await refuse_exposed(map(engine_of, self.supervisor.servers.values()))
        return loaded


def _laid_over(handed: Mapping[str, str | None]) -> Mapping[str, str]:
    """Our environment, with what was handed over in its place."""
    if not handed:
        return os.environ
    return {name: value for name, value in {**os.environ, **handed}.items() if value is not None}


def _different(handed: Mapping[str, str | None]) -> dict[str, str | None]:
    """What is not as in our own environment: a server that begins with that has nothing else."""
    return {name: value for name, value in handed.items() if value != os.environ.get(name)}


def _without(values: set[str], changes: Changes) -> Changes:
    """The same changes, in which none of these values stands."""

    def hidden(text: str | None) -> str | None:
        return MASK if text is not None and any(value in text for value in values) else text

    def of(changed: Mapping[str, tuple[Change, ...]]) -> dict[str, tuple[Change, ...]]:
        return {
            name: tuple(Change(one.key, hidden(one.before), hidden(one.after)) for one in keys)
            for name, keys in changed.items()
        }

    listeners = replace(changes.listeners, changed=of(changes.listeners.changed))
    return replace(changes, changed=of(changes.changed), listeners=listeners)


def lines(changes: Changes, again: Sequence[str] = ()) -> Iterator[str]:
    """What a reload changes, for people; `again` names those that had failed and are started again."""
    if not changes and not again:
        yield "reload: nothing has changed"
        return

    yield "reload:"
    yield from (f"  {line}" for line in change_lines(asdict(changes)))
    yield from (f"  {name}: had failed, and is started again" for name in again)
    if unchanged := [name for name in changes.unchanged if name not in again]:
        yield f"  unchanged: {', '.join(unchanged)}"


def keep_session_keys(supervisor: Supervisor, specs: Iterable[ServerSpec]) -> None:
    """Leave the session keyring for good where a server has less rights than we; on the event loop's thread.

    A keyring that was left cannot be joined again, so all servers are without those keys from then on.
    """
    if any(
        spec.user or spec.group or _LESS_RIGHTS & {plugin.name for plugin in spec.plugins} for spec in specs
    ):
        descriptors_of(supervisor).call_where_children_start(leave_session_keys)
