"""Where OpenCode is looked for when nobody said where it is."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path

from hostler import Launch, ProcessSpawnFailed

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

    return resolve(program, "configuration", variables(launch))


def search(launch: Launch, names: tuple[str, ...] = NAMES) -> Program | None:
    """The first OpenCode on PATH, in ~/.opencode/bin or the nearest node_modules/.bin, else None."""
    for found, folder in places(launch):
        for name in names:
            if is_program(folder / name):
                return resolve(folder / name, found, variables(launch))

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
    """A tool such as npm or bun, in the child's PATH, in hostler's own, or in one of `more`."""
    paths = [launch.env.get("PATH", ""), launch.host_env.get("PATH", os.defpath)]
    folders = [Path(entry) for path in paths for entry in path.split(os.pathsep) if entry]

    for folder in (*folders, *more):
        if (folder / name).is_file() and os.access(folder / name, os.X_OK):
            return folder / name

    return None


def variables(launch: Launch) -> Mapping[str, str]:
    """The variables that steer the search: the child's own, then hostler's."""
    return {**launch.host_env, **launch.env}
