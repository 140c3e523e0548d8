"""sandbox: a server that sees everything read-only but what it needs, and that nothing can escape from."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Literal

from hostler import Confinement, EnvironmentSetupFailed, Launch, ServerSpec, ServerView, hookimpl, option

from hostler_plugins.sandbox.box import DEADLINE, Box, SandboxOptions, refuse
from hostler_plugins.sandbox.hints import explain_refusals, tell
from hostler_plugins.sandbox.monitor import watch

_TOOL_PATH = "/usr/bin:/bin:/usr/local/bin"  # never the server's PATH: it may run with our privileges
_NAMESPACES_NEEDED = (
    "bwrap needs namespaces: in a container allow them; elsewhere see the settings user.max_user_namespaces, "
    "kernel.unprivileged_userns_clone, kernel.apparmor_restrict_unprivileged_userns; or set sandbox = false"
)

# Keys, tokens, and sockets of those who do what they are told with more rights than a server has.
_HIDDEN = [
    "~/.ssh",
    "~/.gnupg",
    "~/.aws",
    "~/.azure",
    "~/.config/gcloud",
    "~/.config/gh",
    "~/.kube",
    "~/.docker",
    "~/.netrc",
    "~/.npmrc",
    "~/.pypirc",
    "~/.git-credentials",
    "~/.password-store",
    "~/.local/share/keyrings",
    "/run",
]


@dataclass(eq=False)
class Sandbox:
    """Runs a server under bubblewrap (Linux, the program bwrap).

    The server sees the whole system read-only. It can write to its working folder, to what its launcher
    plugin asks for, and to a private /tmp, which is removed afterwards. It has no capabilities, and a
    private pid namespace: no process that it starts outlives it, even if hostler is killed. What hostler
    reads or runs at its next start (the configuration, plugins, secrets, its own program) is always
    read-only. What hostler runs for the server (its version, health and other commands) runs in such a
    sandbox too. The network is the machine's. If one path is inside another, the inner one counts. If a
    signal ends the server, its exit code is above 128.
    """

    writable: list[str] = option(
        [], "Further folders that the server may write to; created if they are missing"
    )
    readable: list[str] = option([], "What it may read although it is in a hidden folder or in /tmp")
    hidden: list[str] = option(_HIDDEN, "What it cannot see; replaces the default")
    cwd: Literal["writable", "read-only"] = option("writable", "What it may do in its working folder")
    bwrap: Path | None = option(None, "Path of bwrap; default: in /usr/bin, /bin, /usr/local/bin")
    arguments: list[str] = option([], "Additional arguments of bwrap, at the end")

    _tried: bool = field(init=False, repr=False, default=False)
    _told: bool = field(init=False, repr=False, default=False)

    def __post_init__(self) -> None:
        for name in ("writable", "readable", "hidden"):
            for path in getattr(self, name):
                if not path.startswith(("/", "~/", "$")) and path != "~":
                    raise ValueError(f'{name}: expected a path that starts with "/" or "~/", found {path!r}')
                if name != "readable" and path == "/":
                    raise ValueError(f"{name}: / is the whole system: nothing would be left of the sandbox")

    def check(self, spec: ServerSpec, launch: Launch) -> Iterator[str]:
        """What is missing on this machine, for `hostler check`."""
        self._program()
        self._refuse_root(launch)
        yield from ()

    def confine(self, server: ServerView, launch: Launch) -> Confinement:
        """Have all that is run or read for the server go through its sandbox, from the first plugin on."""
        return self._box(server, launch)

    @hookimpl(trylast=True)
    async def pre_spawn(self, server: ServerView, launch: Launch) -> None:
        """Put bwrap in front of the command, with the folders that the other plugins asked for."""
        self._refuse_root(launch)
        launch.confinement = box = self._box(server, launch)
        box.give_tmpdir()
        box.complete = True
        wrapper, launch.capabilities = await box.enter(launch.cwd)
        launch.wrapper = [*launch.wrapper, *wrapper]
        await self._try(server)

        kept = await box.kept_from_it()

        if not self._told:
            self._told = True
            tell(server, launch, kept, box.may_write)

        if kept:
            explain_refusals(server, launch, kept)

        launch.defer(box.close)
        server.start_soon(partial(watch, server, box))

    def _box(self, server: ServerView, launch: Launch) -> Box:
        known = launch.confinement
        tmp = known.tmp if isinstance(known, Box) else None
        writes = self.cwd == "writable"
        wanted = SandboxOptions(
            self._program(), writes, self.writable, self.readable, self.hidden, self.arguments
        )
        return Box(server, launch, wanted, tmp)

    def _program(self) -> str:
        if sys.platform != "linux":  # pragma: other-system
            raise EnvironmentSetupFailed(
                "the plugin sandbox works on Linux only",
                hint="switch it off: sandbox = false",
                permanent=True,
            )

        found = shutil.which(str(self.bwrap or "bwrap"), path=_TOOL_PATH)
        if found is None:
            raise EnvironmentSetupFailed(
                f"{self.bwrap or 'bubblewrap (bwrap)'} is not there, which the plugin sandbox needs",
                hint="install it (Debian, Fedora and others: the package bubblewrap), or set bwrap",
                permanent=True,
            )

        return found

    def _refuse_root(self, launch: Launch) -> None:
        if self.cwd == "writable" and os.path.realpath(launch.cwd) == "/":
            raise EnvironmentSetupFailed(
                "the working folder is /, so the sandbox would have the server write everywhere",
                hint='set cwd of the server, or sandbox = { cwd = "read-only" }',
                permanent=True,
            )

    async def _try(self, server: ServerView) -> None:
        """Build an empty sandbox once, to explain what the kernel refuses better than bwrap does."""
        if not self._tried:
            result = await server.run_command(["/bin/true"], timeout=DEADLINE, env={})
            refuse(result, "the kernel refuses a sandbox", _NAMESPACES_NEEDED)
            self._tried = True
