"""Servers that run for the length of one test, in a home directory of its own."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack, suppress
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from hostler.config.load import from_dict
from hostler.events.events import Event
from hostler.model.spec import Configuration, PluginSpec
from hostler.process.disk.directories import Directories
from hostler.supervisor.handle import Server
from hostler.supervisor.supervisor import Supervisor

E = TypeVar("E", bound=Event)
_KEPT = frozenset({"PATH", "LANG", "LC_ALL", "TZ", "SSL_CERT_FILE", "SSL_CERT_DIR", "LLVM_PROFILE_FILE"})
_READY_SECONDS = 30.0


class Servers:
    """Starts servers and stops them at the end of the test: what the fixture `hostler_server` gives.

    `home` is the home directory of all of them, `environ` what hostler takes for its own environment (a
    test may add to it), `directories` where hostler writes. `events` are all events so far,
    `supervisors` has one for each call.
    """

    def __init__(self, home: Path, base: Path) -> None:
        self.home = home
        self.events: list[Event] = []
        self.supervisors: list[Supervisor] = []
        self.environ = _private(home)
        self.directories = Directories.default(self.environ)
        self._base = base
        self._stack = AsyncExitStack()
        self._loop = asyncio.get_running_loop()
        self._heard = asyncio.Event()

    async def __call__(
        self,
        command: Sequence[str] = (),
        *,
        plugins: Mapping[str, object] | None = None,
        name: str = "server",
        timeout: float | None = _READY_SECONDS,
        **keys: object,
    ) -> Server:
        """Start one server, and wait until it is ready for at most `timeout` seconds; None: do not wait.

        `plugins` are tables of options by name, as in TOML (True is {}), or plugin objects. `keys` are those
        of a server in TOML: `startup_timeout="5s"`. Relative paths are seen from the test's file; without
        `cwd` the server works in a folder of its own. Raises what the server fails with.
        """
        self._check_loop()
        given = plugins or {}
        tables = {key: value for key, value in given.items() if isinstance(value, Mapping | bool)}
        table = {"cwd": str(self._folder("project")), **keys, "plugins": tables}
        table |= {"command": list(command)} if command else {}
        configuration = from_dict({"servers": {name: table}}, base=self._base, environ=self.environ)
        supervisor = self._supervisor(_with_objects(configuration, name, given))
        supervisor.listen(self._hear)
        self.supervisors.append(supervisor)
        await self._stack.enter_async_context(supervisor)

        if timeout is not None:
            await supervisor[name].wait_ready(timeout)

        return supervisor[name]

    def told(self, kind: type[E], **wanted: object) -> list[E]:
        """The events of a kind so far whose attributes are these: told(Notice, topic="caddy_ready")."""
        found = (event for event in self.events if isinstance(event, kind))
        return [
            event for event in found if all(getattr(event, key) == value for key, value in wanted.items())
        ]

    async def wait_for(self, kind: type[E], *, seconds: float = 10.0, **wanted: object) -> E:
        """The first event of a kind with these attributes, past ones included.

        AssertionError, with all events so far, when none comes in time.
        """
        try:
            async with asyncio.timeout(seconds):
                while not (found := self.told(kind, **wanted)):
                    self._heard.clear()
                    await self._heard.wait()
        except TimeoutError:
            raise AssertionError(
                f"no {kind.__name__} with {wanted} within {seconds:g} s: {self.events}"
            ) from None

        return found[0]

    async def close(self) -> None:
        """Stop everything; AssertionError when something of it is left."""
        await self._stack.aclose()
        left = self.left()
        assert not left, "left behind by servers of this test: " + "; ".join(left)

    def left(self) -> list[str]:
        """What is left now: processes of this home, run records and locks."""
        records = sorted(path.name for path in (self.directories.state / "runs").glob("*"))
        return [*_processes(self.home), *(f"run record {name}" for name in records)]

    def _hear(self, event: Event) -> None:
        self.events.append(event)
        self._heard.set()

    def _supervisor(self, configuration: Configuration) -> Supervisor:
        return Supervisor(configuration, directories=self.directories, environ=self.environ)

    def _folder(self, name: str) -> Path:
        folder = self.home / name
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def _check_loop(self) -> None:
        if asyncio.get_running_loop() is not self._loop:
            raise RuntimeError(
                "this test runs on another event loop than its fixtures: mark it with pytest.mark.anyio, "
                'or set anyio_mode = "auto" in pytest\'s configuration'
            )


def _with_objects(configuration: Configuration, name: str, plugins: Mapping[str, object]) -> Configuration:
    """The configuration with plugins that are objects in their places among the others."""
    spec = configuration.servers[name]
    tables = {plugin.name: plugin for plugin in spec.plugins}
    objects = {
        key: PluginSpec(key, instance=value)
        for key, value in plugins.items()
        if not isinstance(value, Mapping | bool)
    }
    chosen = tuple(one for key in plugins if (one := objects.get(key) or tables.get(key)))
    return replace(configuration, servers={name: replace(spec, plugins=chosen)})


def _private(home: Path) -> dict[str, str]:
    """An environment in which everything is written below `home`."""
    home.mkdir(parents=True, exist_ok=True)
    temporary = home / "tmp"
    temporary.mkdir(exist_ok=True)
    kept = {name: value for name, value in os.environ.items() if name in _KEPT}
    folders = {f"XDG_{name}_HOME": str(home / name.lower()) for name in ("STATE", "DATA", "CACHE", "CONFIG")}
    return {**kept, "HOME": str(home), "TMPDIR": str(temporary), **folders}


def _processes(home: Path) -> list[str]:
    """The living processes whose home this is."""
    import psutil  # noqa: PLC0415 - heavy, and only wanted here

    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):  # it is gone meanwhile, or another user's
            if process.environ().get("HOME") == str(home) and process.status() != psutil.STATUS_ZOMBIE:
                found.append(f"process {process.pid} ({' '.join(process.cmdline())})")
    return found
