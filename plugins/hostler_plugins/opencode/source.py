"""Running OpenCode from a checkout of its sources, with bun."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path

from hostler import Launch, ProcessSpawnFailed

from hostler_plugins.opencode import locking
from hostler_plugins.opencode.finding import on_path
from hostler_plugins.opencode.tools import run_tool

ENTRY = Path("src") / "index.ts"
BUN_VERSION = "1.4.5"
_DEADLINE = 540.0  # seconds; below prepare_timeout, so that the error is ours


def package_folder(checkout: Path) -> Path:
    """The folder of the package in a checkout; raises ProcessSpawnFailed (permanent) when it is none."""
    for folder in (checkout / "packages" / "opencode", checkout):
        if (folder / ENTRY).is_file():
            return folder

    raise ProcessSpawnFailed(
        f"{checkout} is no checkout of OpenCode: there is no {Path('packages') / 'opencode' / ENTRY}",
        hint='correct opencode = { source = "..." }: the folder that holds packages/opencode',
        details={"source": str(checkout)},
        permanent=True,
    )


def given_bun(program: Path) -> Path:
    """The bun at a configured path; raises ProcessSpawnFailed (permanent) when there is none."""
    if program.is_file():
        return program

    raise ProcessSpawnFailed(
        f"the bun that was asked for, {program}, is no file", hint="correct the path", permanent=True
    )


def find_bun(launch: Launch) -> Path | None:
    """bun on PATH, in ~/.bun/bin, or as the npm package in the nearest node_modules."""
    home = Path(launch.env.get("HOME", "/"))
    modules = [folder / "node_modules" / ".bin" for folder in (launch.cwd, *launch.cwd.parents)]
    return on_path("bun", launch, home / ".bun" / "bin", *modules)


def no_bun() -> ProcessSpawnFailed:
    """The error where bun is needed and missing."""
    return ProcessSpawnFailed(
        "OpenCode's sources need bun, and there is none on PATH, in ~/.bun/bin or in node_modules/.bin",
        hint='let hostler install it: opencode = { install = "if-missing" }, install it yourself '
        '(npm install -g bun), or say where it is: opencode = { bun = "/path/to/bun" }',
        permanent=True,
    )


def wanted_bun(checkout: Path) -> str:
    """The version of bun that a checkout asks for, else one that is known to work."""
    try:
        asked = str(json.loads((checkout / "package.json").read_text()).get("packageManager", ""))
    except (OSError, ValueError, AttributeError):
        asked = ""

    return asked.removeprefix("bun@") if asked.startswith("bun@") else BUN_VERSION


def missing_dependencies(package: Path) -> list[str]:
    """The dependencies of a package that are not installed, by name."""
    try:
        wanted = json.loads((package / "package.json").read_text()).get("dependencies", {})
    except (OSError, ValueError):
        return []

    folders = [folder / "node_modules" for folder in (package, *package.parents)]
    return [name for name in wanted if not any((folder / name).exists() for folder in folders)]


async def install_dependencies(
    checkout: Path, package: Path, bun: Path, launch: Launch, folder: Path, progress: Callable[[str], None]
) -> None:
    """Run `bun install` in a checkout whose dependencies are missing; one hostler at a time.

    Raises ProcessSpawnFailed with what bun said.
    """
    if not missing_dependencies(package):
        return

    def waiting() -> None:
        progress("another hostler is installing the dependencies of OpenCode")

    with await locking.take(folder / f"opencode-source-{_key(checkout)}.lock", waiting):
        missing = missing_dependencies(package)

        if missing:
            progress(f"installing {len(missing)} dependencies of OpenCode (bun install)")
            await _bun_install(checkout, bun, launch)


def _key(checkout: Path) -> str:
    return hashlib.sha256(os.path.realpath(checkout).encode()).hexdigest()[:16]


async def _bun_install(checkout: Path, bun: Path, launch: Launch) -> None:
    env = {**launch.host_env, "PATH": f"{bun.parent}:{launch.env.get('PATH', '')}"}

    try:
        outcome = await run_tool([str(bun), "install"], cwd=checkout, env=env, deadline=_DEADLINE)
    except OSError as error:
        raise ProcessSpawnFailed(
            f"{bun} cannot be run: {error.strerror}", hint="install bun again", permanent=True
        ) from error

    if outcome.code != 0:
        what = "did not finish in time" if outcome.code is None else f"ended with exit code {outcome.code}"
        raise ProcessSpawnFailed(
            f"the dependencies of OpenCode could not be installed: bun install {what}: {outcome.text}",
            hint=f"run `bun install` in {checkout} yourself, and see that the registry can be reached",
        )
