"""opencode: finds, installs and runs `opencode serve`, in the way that each of its versions needs."""

from __future__ import annotations

import importlib
import re
from collections.abc import AsyncGenerator, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import ClassVar

import anyio
from hostler import (
    Advice,
    Auth,
    Duration,
    Endpoint,
    Exit,
    Healthy,
    Launch,
    Report,
    ServerSpec,
    ServerView,
    Unhealthy,
    hookimpl,
    option,
)

from hostler_plugins._option_checks import check_path, check_positive
from hostler_plugins.opencode import environment, passwords, profiles
from hostler_plugins.opencode.client import Place, status_of
from hostler_plugins.opencode.command import Command, Install, ProgramOptions, look_for_program, set_command
from hostler_plugins.opencode.data_directory import FirstStart
from hostler_plugins.opencode.failures import advise
from hostler_plugins.opencode.idle_directories import Directories, own_directory, tell_unsupported
from hostler_plugins.opencode.provider_keys import tell_withheld
from hostler_plugins.opencode.updates import look_for_update

VERSION = "1.18.33"

_EXACT = re.compile(r"\d+\.\d+\.\d+(?:[-+][0-9A-Za-z.+-]+)?")
# Below the 2 s that the engine gives to on_shutdown.
_DISPOSE_DEADLINE = 1.5
_FIRST_WAIT, _LONGEST_WAIT = 0.05, 1.0
_FIRST_DEADLINE, _LONGEST_DEADLINE = 0.5, 5.0


@dataclass(eq=False)
class OpenCode:
    """Runs the OpenCode server (`opencode serve`)."""

    title: ClassVar[str] = "OpenCode"
    supplies_command: ClassVar[bool] = True

    binary: Path | None = option(
        None, "Path of the program; default: from PATH, ~/.opencode/bin, node_modules/.bin"
    )
    source: Path | None = option(
        None, "Path of a checkout of the sources, which runs with bun instead of a program"
    )
    bun: Path | None = option(
        None, "Path of bun for `source`; default: from PATH, ~/.bun/bin, node_modules/.bin"
    )
    install: Install = option("never", "Whether to install a missing program from npm into hostler's cache")
    version: str = option(VERSION, "The exact version that `install` takes")
    serve: list[str] = option([], 'Arguments of the program; default: "serve" with host and port')
    profile: profiles.Name | None = option(None, "Family of versions to treat it as; default: by version")
    health_path: str | None = option(None, "Path of the event stream; default: by version")
    password: bool = option(True, "Whether the server requires a random password")
    client: str = option("hostler", "Value of OPENCODE_CLIENT")
    offline: bool = option(
        False, "Whether OpenCode downloads no model list, default plugins or language servers"
    )
    check_updates: bool = option(
        False, "Whether to ask npm for a newer version, in the background of a start"
    )
    dispose_idle: Duration | None = option(
        None,
        "How long nothing may happen in a directory before its MCP and language servers are ended; "
        "default: they are kept",
    )

    _password: str = field(init=False, repr=False, default_factory=passwords.new_password)
    _way: profiles.Profile = field(init=False, repr=False, default=profiles.STABLE)
    _first_start: FirstStart | None = field(init=False, repr=False, default=None)
    _address: tuple[str, int | None] = field(init=False, repr=False, default=("127.0.0.1", None))
    _told: bool = field(init=False, repr=False, default=False)
    _launch: Launch | None = field(init=False, repr=False, default=None)
    _directories: Directories | None = field(init=False, repr=False, default=None)
    _told_keys: frozenset[str] = field(init=False, repr=False, default=frozenset())

    def __post_init__(self) -> None:
        if self.binary is not None and self.source is not None:
            raise ValueError("source: cannot be used together with binary")
        if not _EXACT.fullmatch(self.version):
            raise ValueError(
                f'version: expected an exact version such as "{VERSION}", found {self.version!r}'
            )
        check_path(self, "health_path")
        check_positive(self, "dispose_idle")

    def check(self, spec: ServerSpec, launch: Launch) -> Iterable[str]:
        """For `hostler check`: raises ProcessSpawnFailed where a start would find no program."""
        look_for_program(launch, self._wanted(spec, launch))
        return ()

    @hookimpl
    async def pre_spawn(self, server: ServerView, launch: Launch) -> None:
        """Prepare folders and variables, find or install the program, wait for the first start of another."""
        configured = {*server.spec.env, *launch.configured}
        launch.warm_up(partial(importlib.import_module, "aiohttp"))
        environment.set_variables(launch, configured, client=self.client, offline=self.offline)
        launch.facts["writable_paths"] = [folder for _, folder in environment.folders(launch)]
        environment.check_folders(launch)

        if "TMPDIR" not in configured:
            environment.give_private_tmpdir(launch)

        command = await set_command(server, launch, self._wanted(server.spec, launch))
        self._directories = None  # it tells of an earlier run
        self._address, self._launch = (launch.host, launch.port), launch
        self._know(launch, command)
        await self._guard(server, launch)
        server.publish("OPENCODE_SERVER", "${server.url}")
        await self._wait_for_data_directory(server, launch, command.version.text)

        if self.check_updates:
            server.start_soon(partial(look_for_update, server, launch, command.version.text))

    @hookimpl
    async def health_check(
        self, server: ServerView, endpoint: Endpoint | None
    ) -> AsyncGenerator[Report, None]:
        """Report each failed try, then once that the server answers and asks for its password."""
        wait = _FIRST_WAIT
        while True:
            # It never answers what it is asked before it prints that it listens.
            deadline = min(_FIRST_DEADLINE * wait / _FIRST_WAIT, _LONGEST_DEADLINE)
            report = Healthy() if endpoint is None else await self._look(server, endpoint, deadline)
            yield report
            if isinstance(report, Healthy):
                return
            await anyio.sleep(wait)
            wait = min(2 * wait, _LONGEST_WAIT)

    @hookimpl
    async def on_ready(self, server: ServerView, endpoint: Endpoint | None) -> None:
        """Let others start in the same data directory; follow its directories; say what was withheld."""
        if self._first_start is not None:
            self._first_start.ready()
        if self._launch is not None:
            self._told_keys = tell_withheld(server, self._launch, self._told_keys)
        if endpoint is None:
            return
        if "what_runs" in server.facts:
            self._directories = Directories(server, endpoint, self.dispose_idle)
            server.start_soon(self._directories.run)
        elif self.dispose_idle is not None:
            tell_unsupported(server)

    @hookimpl
    async def on_crash(self, exit: Exit) -> Advice | None:  # noqa: A002 - the hook's name for it
        """Tell failures that a restart may mend from those that it cannot."""
        return advise(exit, *self._address)

    @hookimpl
    async def on_shutdown(self, server: ServerView) -> None:
        """Have the server end its own children: what SIGTERM alone leaves behind."""
        # Its terminals and shells have sessions of their own, which no signal to the process group reaches.
        if server.endpoint is not None and self._way.dispose is not None:
            with suppress(OSError):
                place = Place(server, server.endpoint, self._way.dispose)
                await status_of(place, server.auth, method="POST", deadline=_DISPOSE_DEADLINE)

    def _wanted(self, server: ServerSpec, launch: Launch) -> ProgramOptions:
        """The options, with relative paths seen from the file that names them."""
        bases = [spec.base for spec in server.plugins if spec.name == "opencode" and spec.base is not None]
        base = next(iter(bases), launch.cwd)
        binary, source, bun = (path and base / path for path in (self.binary, self.source, self.bun))
        return ProgramOptions(binary, source, bun, self.install, self.version, self.serve)

    def _know(self, launch: Launch, command: Command) -> None:
        version = command.version
        self._way = profiles.profile_of(version.text, preview=version.preview, name=self.profile)
        launch.facts["version"] = version.text
        if profiles.tells_activity(self._way, version.text):
            launch.facts["what_runs"] = self._what_runs
        launch.facts["directory"] = own_directory(launch.cwd)
        launch.facts["health_path"] = self.health_path or self._way.health_path
        launch.facts["permanent_bodies"] = profiles.PERMANENT_BODIES

    async def _what_runs(self) -> list[str] | None:
        """The busy sessions and open terminals; None before it is ready, and while its events are away."""
        return None if self._directories is None else await self._directories.what_runs()

    async def _guard(self, server: ServerView, launch: Launch) -> None:
        configured = {*server.spec.env, *launch.configured}
        auth: Auth | None

        if self._way.keeps_password:
            auth = await passwords.hand_by_file(server, launch, configured, self._password)
        else:
            auth = passwords.hand_by_environment(
                launch, configured, self._password if self.password else None
            )

        if auth is not None:
            launch.facts["auth"] = auth
            server.publish(passwords.USER_VARIABLE, auth.user)
            server.publish(passwords.VARIABLE, auth.password, secret=True)

    async def _wait_for_data_directory(self, server: ServerView, launch: Launch, version: str) -> None:
        data = launch.cwd / environment.own_folder(launch.env, "XDG_DATA_HOME")
        self._first_start = start = FirstStart(data, server.cache_dir, version)
        launch.defer(start.release)
        await start.take(
            partial(server.progress, "waiting: another OpenCode prepares the same data directory")
        )

    async def _look(self, server: ServerView, endpoint: Endpoint, deadline: float) -> Report:
        place, auth = Place(server, endpoint, self._way.probe), server.auth
        try:
            if auth is None:
                await status_of(place, None, deadline=deadline)
                return Healthy()
            verdict = await passwords.try_out(place, auth, deadline)
        except OSError as error:
            return Unhealthy(f"OpenCode does not answer yet: {error}")

        if verdict is passwords.Verdict.REFUSED:
            return Unhealthy(f"{verdict.value}: {place.url}")

        if verdict is passwords.Verdict.IGNORED:
            self._tell_that_it_is_open(server)

        return Healthy()

    def _tell_that_it_is_open(self, server: ServerView) -> None:
        if not self._told:
            self._told = True
            server.notice(
                "password_ignored",
                "this version of OpenCode answers without the password, to everybody on this machine; "
                "versions from 1.1.34 on ask for it",
                level="warning",
            )
