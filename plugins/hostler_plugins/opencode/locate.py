"""Searches for OpenCode, where the configuration does not name a program."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from hostler import Launch, ProcessSpawnFailed, is_ours

from hostler_plugins.opencode.programs import NAMES, Program, is_program, resolve


def given(path: Path, launch: Launch) -> Program:
    """The program at a configured path; raises ProcessSpawnFailed (permanent) when there is none."""
    program = launch.cwd / path
    if program.is_dir():
        program = next((program / name for name in NAMES if is_program(program / name)), program)

    if not is_program(program):
        what = "is not executable" if program.is_file() else "is no file"
        raise ProcessSpawnFailed(
            f"the OpenCode that was asked for, {program}, {what}",
            hint=f"run chmod +x {program}"
            if program.is_file()
            else "correct the path, or leave it out to search",
            details={"path": str(program)},
            permanent=True,
        )

    return resolve(program, "configuration", launch)


def search(launch: Launch, names: tuple[str, ...] = NAMES, *, of_the_server: bool = False) -> Program | None:
    """The first OpenCode on PATH, in ~/.opencode/bin or the nearest node_modules/.bin, else None.

    Those that a server in a sandbox could have put there itself are passed over, unless `of_the_server`.
    """
    for found, folder in places(launch):
        for name in names:
            if is_program(folder / name) and (of_the_server or not _may_write(launch, folder / name)):
                return resolve(folder / name, found, launch)
    return None


def places(launch: Launch) -> Iterator[tuple[str, Path]]:
    """The folders that are searched, in order, each with its name."""
    for entry in launch.env.get("PATH", os.defpath).split(os.pathsep):
        yield "PATH", launch.cwd / entry
    if home := launch.env.get("HOME"):
        yield "~/.opencode/bin", Path(home) / ".opencode" / "bin"
    for folder in (launch.cwd, *launch.cwd.parents):
        if (folder / "node_modules" / ".bin").is_dir():
            yield "node_modules/.bin", folder / "node_modules" / ".bin"


def not_found(launch: Launch, version: str) -> ProcessSpawnFailed:
    """The error of a search that ended with nothing: where it looked, and the line that would install it."""
    looked = [
        f"{found}: {folder}" if found != "PATH" else f"PATH: {folder}" for found, folder in places(launch)
    ]
    return ProcessSpawnFailed(
        f"OpenCode is not installed: there is no program {' or '.join(NAMES)} in any of\n    "
        + "\n    ".join([*looked, f"node_modules/.bin of {launch.cwd} and of the folders above it"]),
        hint=f'let hostler install version {version}: opencode = {{ install = "if-missing" }}, '
        'or say where it is: opencode = { binary = "/path/to/opencode" }',
        details={"looked": looked},
        permanent=True,
    )


def on_path(name: str, launch: Launch, *more: Path) -> Path | None:
    """A tool that the server runs, such as bun, in the child's PATH, in hostler's own, or in one of `more`.

    Of several, one that a server in a sandbox could not have put there.
    """
    paths = [launch.env.get("PATH", ""), launch.host_env.get("PATH", os.defpath)]
    folders = [Path(entry) for path in paths for entry in path.split(os.pathsep) if entry]

    found = [folder / name for folder in (*folders, *more) if is_program(folder / name)]
    return next((tool for tool in found if not _may_write(launch, tool)), next(iter(found), None))


def own_tool(name: str, launch: Launch) -> Path | None:
    """A tool that hostler runs with its own rights: on its own PATH, else on the child's; none that a server
    could have put there."""
    paths = [launch.host_env.get("PATH", os.defpath), launch.env.get("PATH", "")]
    tools = [Path(entry, name) for path in paths for entry in path.split(os.pathsep) if entry.startswith("/")]
    return next((tool for tool in tools if is_program(tool) and is_ours(launch, tool)), None)


def _may_write(launch: Launch, path: Path) -> bool:
    return launch.confinement is not None and launch.confinement.may_write(path)
