"""The command line of OpenCode: which program, with which arguments, and which version that is."""

from __future__ import annotations

import platform
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Literal

import anyio.to_thread
from hostler import Launch, ServerView

from hostler_plugins.opencode import locate, source, versions
from hostler_plugins.opencode.install import Installation, cache_for
from hostler_plugins.opencode.platforms import bun_package, package_names
from hostler_plugins.opencode.programs import NAMES, Program

Install = Literal["never", "if-missing"]
_NAMES = (*NAMES, "opencode.exe")


@dataclass(frozen=True, slots=True)
class ProgramOptions:
    """What the options say about the program."""

    binary: Path | None
    source: Path | None
    bun: Path | None
    install: Install
    version: str
    serve: Sequence[str]


@dataclass(frozen=True, slots=True)
class Command:
    """The first words of the command line (program, or bun and script), and which version they run."""

    words: list[str]
    version: versions.Version
    native: bool = True


async def set_command(server: ServerView, launch: Launch, wanted: ProgramOptions) -> Command:
    """Put the whole command line into the launch; a command that was configured is resolved and completed.

    Raises ProcessSpawnFailed when there is no program, and none can be installed.
    """
    if launch.argv and not _is_opencode(launch.argv[0]):
        return Command([launch.argv[0]], versions.Version(""))
    command = await _find(server, launch, _as_commanded(launch, wanted))
    launch.argv = command.words + completed(launch.argv[1:], wanted.serve or arguments(launch))
    return command


def look_for_program(launch: Launch, wanted: ProgramOptions) -> None:
    """Look for what `set_command` would find, and install nothing. Raises ProcessSpawnFailed as it would."""
    if launch.argv and not _is_opencode(launch.argv[0]):
        return

    wanted = _as_commanded(launch, wanted)
    if wanted.source is not None:
        source.package_folder(wanted.source)
        if _find_bun(launch, wanted) is None:
            Installation(launch, bun_package(), source.wanted_bun(wanted.source, launch), "bun").check()
    elif wanted.binary is not None:
        locate.given(wanted.binary, launch)
    elif locate.search(launch) is None:
        if wanted.install == "never":
            raise locate.not_found(launch, wanted.version)
        Installation(launch, package_names()[0], wanted.version, "opencode").check()


def arguments(launch: Launch) -> list[str]:
    """`serve` with host and port as words of their own: some versions pass over "--port=N"."""
    # Without --port OpenCode tries 4096 first, which another server may have.
    port = [] if launch.port is None else ["--port", str(launch.port)]
    return ["serve", "--hostname", launch.host, *port]


def completed(configured: Sequence[str], wanted: Sequence[str]) -> list[str]:
    """The configured arguments with host and port where they are missing, or all of `wanted`."""
    if not configured:
        return list(wanted)
    words = list(configured)
    # Only `serve` takes a host and a port: another command of OpenCode is run as it was written.
    if words[0] == "serve":
        for flag, value in zip(wanted[1::2], wanted[2::2], strict=False):
            if not any(word == flag or word.startswith(f"{flag}=") for word in words):
                words += [flag, value]
    return words


def _as_commanded(launch: Launch, wanted: ProgramOptions) -> ProgramOptions:
    """A command that is a path says which program it has to be."""
    if launch.argv and Path(launch.argv[0]).name != launch.argv[0]:
        return replace(wanted, binary=Path(launch.argv[0]), source=None)
    return wanted


def _is_opencode(word: str) -> bool:
    return Path(word).name in _NAMES


async def _find(server: ServerView, launch: Launch, wanted: ProgramOptions) -> Command:
    if wanted.source is not None:
        return await _from_source(server, launch, wanted, wanted.source)

    if wanted.binary is not None:
        program = await anyio.to_thread.run_sync(locate.given, wanted.binary, launch)
    else:
        found = await anyio.to_thread.run_sync(partial(locate.search, launch))
        program = found or await _installed(server, launch, wanted)

    if not program.native:
        _tell_of_wrapper(server, program)

    version = await versions.version_of(program, server, launch)
    return Command([str(program.path)], version, program.native)


async def _installed(server: ServerView, launch: Launch, wanted: ProgramOptions) -> Program:
    if wanted.install == "never":
        left = locate.search(launch, of_the_server=True)  # run in its sandbox, whoever put it there
        if left is None:
            raise locate.not_found(launch, wanted.version)
        return left

    package = package_names()[0]
    cache = await cache_for(server, launch)
    installation = Installation(launch, package, wanted.version, "opencode", server.progress, cache)
    return Program(await installation.ensure(), native=True, found="npm")


async def _from_source(server: ServerView, launch: Launch, wanted: ProgramOptions, checkout: Path) -> Command:
    package = source.package_folder(checkout)
    bun = await _bun(server, launch, wanted, checkout)
    await source.install_dependencies(server, launch, checkout, package, bun)
    # The entry is a path in the package.
    launch.cwd = package
    version = versions.source_version(package, launch)
    return Command([str(bun), "run", str(source.ENTRY)], version)


async def _bun(server: ServerView, launch: Launch, wanted: ProgramOptions, checkout: Path) -> Path:
    if found := _find_bun(launch, wanted):
        return found

    version = source.wanted_bun(checkout, launch)
    cache = await cache_for(server, launch)
    return await Installation(launch, bun_package(), version, "bun", server.progress, cache).ensure()


def _find_bun(launch: Launch, wanted: ProgramOptions) -> Path | None:
    """The bun that is there, or None where one may be installed; else raises ProcessSpawnFailed."""
    if wanted.bun is not None:
        return source.given_bun(wanted.bun)

    found = source.find_bun(launch)
    if found is None and wanted.install == "never":
        raise source.no_bun()

    return found


def _tell_of_wrapper(server: ServerView, program: Program) -> None:
    server.notice(
        "wrapper_only",
        f"{program.path} is a script, and no native OpenCode for {platform.machine()} was found behind it: "
        "signals may not reach the server, and it may outlive its wrapper until its process group is killed",
        level="warning",
        path=str(program.path),
    )
