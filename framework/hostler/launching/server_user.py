"""As whom something is run or read for a server: the one place that decides it, before and beside its run.

As the server itself: its user, groups, capabilities and umask, and in its sandbox. What hostler does with
its own rights instead has to pass `is_ours`.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path

from hostler.files.bounded_read import read_plain
from hostler.files.trusted_path import MISSING, NO_FILE, READ_SCRIPT, other_writers, read_as
from hostler.model.launch import Launch
from hostler.model.values import CommandResult
from hostler.process.spawn.privileges import Account, find_account

Run = Callable[[list[str], dict[str, str]], Awaitable[CommandResult]]

_SHELL = "/bin/sh"
_THERE = 5
_MOST = 2**16
# Whole or not at all: the text is written beside its place, and moved there in one step.
_CREATE = f"""umask 077; mkdir -p -- "${{1%/*}}" || exit 1
[ ! -s "$1" ] || exit {_THERE}; [ ! -L "$1" ] || exit {NO_FILE}
set -C; printf %s "$HOSTLER_TEXT" > "$2" || exit 1
if [ -f "$1" ]; then mv -f -- "$2" "$1"; exit; fi
ln -- "$2" "$1" 2>&-; made=$?; rm -f -- "$2"; [ $made = 0 ] || exit {_THERE}"""
_REMOVE = 'rm -f -- "$1"'


def account_of(launch: Launch) -> Account | None:
    """The other user that the server runs as, None for ourselves; errors as in `find_account`."""
    account = find_account(launch.user, launch.group, launch.groups)
    return None if account is None or account.uid == os.geteuid() else account


def is_ours(launch: Launch, path: Path) -> bool:
    """Whether hostler may run or believe a file with its own rights: the server can neither change it nor the
    way to it."""
    if launch.confinement is not None and launch.confinement.may_write(path):
        return False
    try:
        return account_of(launch) is None or not other_writers(path)
    except OSError:
        return False


def read_head(launch: Launch, path: Path, most: int) -> bytes:
    """The first bytes of a plain file, read as the user of the server; OSError as that one gets it."""
    account = account_of(launch)
    if account is not None:
        return read_as(account.uid, account.gid, account.groups, path, most)
    return read_plain(path, most)[0]


def read_input(launch: Launch, path: Path, most: int) -> bytes:
    """The first bytes of a plain file that a configuration names: as the user of the server where that one
    decides what it is, else with our own rights. OSError as whoever reads it gets it."""
    return read_plain(path, most)[0] if is_ours(launch, path) else read_head(launch, path, most)


def command_for(launch: Launch, argv: list[str], env: dict[str, str], cwd: Path | None) -> Launch:
    """The launch of a command that is run for a server: as the same user, with the same rights."""
    # Not `replace`: files, sinks, followers and the sandbox belong to the server's own process.
    return Launch(
        server=launch.server,
        generation=launch.generation,
        argv=argv,
        cwd=cwd or launch.cwd,
        env=env,
        host=launch.host,
        port=launch.port,
        data_dir=launch.data_dir,
        cache_dir=launch.cache_dir,
        user=launch.user,
        group=launch.group,
        groups=launch.groups,
        umask=launch.umask,
        capabilities=launch.capabilities,
        no_new_privileges=launch.no_new_privileges,
    )


async def confined(command: Launch, launch: Launch) -> Launch:
    """The same command in the sandbox of the server, where it has one."""
    if launch.confinement is None:
        return replace(command, wrapper=list(launch.wrapper))
    wrapper, capabilities = await launch.confinement.enter(command.cwd)
    return replace(command, wrapper=list(wrapper), capabilities=capabilities)


async def read_text(run: Run, path: Path) -> str:
    """The text of a plain file of at most 64 KiB, read as the server; OSError as the server gets it."""
    result = await run([_SHELL, "-c", READ_SCRIPT, "sh", str(path), str(_MOST)], {})
    _raise_for(result, path)
    return result.stdout


async def create(run: Run, path: Path, text: str) -> bool:
    """Make a file (0600) and the folders above it (0700) as the server, whole or not at all.

    False where there is one already that is not empty. OSError as the server gets it.
    """
    half = path.with_name(f"{path.name}.{os.urandom(8).hex()}.tmp")
    result = await run([_SHELL, "-c", _CREATE, "sh", str(path), str(half)], {"HOSTLER_TEXT": text})
    if result.code == _THERE:
        return False
    _raise_for(result, path)
    return True


async def remove(run: Run, path: Path) -> None:
    """Remove a file, or a link, as the server; OSError as the server gets it."""
    _raise_for(await run([_SHELL, "-c", _REMOVE, "sh", str(path)], {}), path)


def _raise_for(result: CommandResult, path: Path) -> None:
    if result.code == 0:
        return
    if result.code == MISSING:
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(path))
    reason = "it is not a regular file" if result.code == NO_FILE else result.last_line or "it took too long"
    raise OSError(errno.EACCES, reason.rpartition(": ")[2], str(path))
