"""Warnings of certificates that variables name, and that the server which gets them cannot read."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

import anyio

from hostler.concurrency.threads import run_in_thread
from hostler.errors import ServerError
from hostler.launching.server_user import account_of
from hostler.model.launch import Launch
from hostler.process.spawn.environment import CERTIFICATES
from hostler.runtime.command import CommandRunner

_SECONDS = 5.0
_WHICH = r"""n=0
for p; do
  if [ -d "$p" ]; then [ -n "$(ls -A -- "$p" 2>/dev/null)" ]; else [ -f "$p" ] && [ -r "$p" ]; fi || echo $n
  n=$((n+1))
done"""


async def report_unreadable(command_runner: CommandRunner, seen: set[str]) -> None:
    """Warn of certificates that we can read and the server cannot.

    Each file or folder is checked once (`seen`): a check can cost a thread, or a shell as another user.
    """
    launch = command_runner.launch
    found = {path: name for name, path in _named(launch) if path not in seen}
    # What we can read it can read where it is as we are, but from its own folder.
    same = bool(found) and _is_as_we_are(launch)
    named = {path: name for path, name in found.items() if not (same and path.startswith("/"))}
    if not named:
        return
    ours: list[str] = []

    with anyio.move_on_after(_SECONDS):
        ours = await run_in_thread(_readable, list(named), abandon_on_cancel=True)

    kept = await _kept(command_runner, ours, sandboxed=True) if ours else []
    outside = await _kept(command_runner, kept, sandboxed=False) if kept and launch.confinement else kept

    seen.update(named)

    for path in kept:
        who, cure = _who(launch, path, hidden=path not in outside)
        text = f"{named[path]} names {path}, which {who} cannot read, so it will not trust these certificates"
        details = {"variable": named[path], "path": path}
        command_runner.reporter.notice("certificates_unreadable", f"{text}; {cure}", "warning", details)


def _named(launch: Launch) -> Iterator[tuple[str, str]]:
    for name in CERTIFICATES & launch.env.keys():
        paths = launch.env[name].split(os.pathsep) if name == "SSL_CERT_DIR" else [launch.env[name]]
        yield from ((name, path) for path in paths if path)


def _readable(paths: Sequence[str]) -> list[str]:
    """Those that we can read ourselves, from our own folder."""
    return [path for path in paths if os.access(path, os.R_OK)]


async def _kept(command_runner: CommandRunner, paths: Sequence[str], *, sandboxed: bool) -> list[str]:
    """Those that the server cannot read."""
    launch = command_runner.launch
    if _is_as_we_are(launch):
        seen = await run_in_thread(
            _readable, [str(launch.cwd / path) for path in paths], abandon_on_cancel=True
        )
        return [path for path in paths if str(launch.cwd / path) not in seen]

    with suppress(ServerError, OSError):
        argv = ["/bin/sh", "-c", _WHICH, "sh", *paths]
        found = await command_runner.run(argv, {}, timeout=_SECONDS, cwd=launch.cwd, sandboxed=sandboxed)
        return [paths[int(number)] for number in found.stdout.split()]

    return []  # the start itself will fail, and say why nothing can be run


def _is_as_we_are(launch: Launch) -> bool:
    # Then what we can read is what the server can read: no shell has to be started to find out.
    rights = os.geteuid() != 0 or launch.capabilities is None
    return account_of(launch) is None and launch.confinement is None and rights


def _who(launch: Launch, path: str, *, hidden: bool) -> tuple[str, str]:
    """Who cannot read it, and what to do."""
    if hidden:
        place = Path(path).absolute()
        return "the server in its sandbox", f'show it there: sandbox = {{ readable = ["{place}"] }}'
    if not Path(path).is_absolute():
        return f"the server, which works in {launch.cwd},", "give its full path"
    if (account := account_of(launch)) is None:
        return "the server without capabilities", "let its user read it and enter the folders above it"

    return (
        f"the server as user {account.name}",
        f"let {account.name} read it and enter the folders above it, or name a copy in env of the server",
    )
