"""Runs OpenCode from a checkout of its sources, with bun."""

from __future__ import annotations

import hashlib
import os
import re
from pathlib import Path

from hostler import Launch, ProcessSpawnFailed, ServerError, ServerView, private_folder

from hostler_plugins.opencode.file_lock import take_lock
from hostler_plugins.opencode.locate import on_path
from hostler_plugins.opencode.programs import read_package

ENTRY = Path("src") / "index.ts"
BUN_VERSION = "1.4.5"
_PACKAGE_MANAGER = re.compile(r"bun@(?P<version>\d+\.\d+\.\d+(?:-[0-9A-Za-z.-]+)?)(?:\+[0-9A-Za-z.]+)?")
_OF_HOSTLER = {
    "http_proxy",
    "https_proxy",
    "all_proxy",
    "no_proxy",
    "npm_config_registry",
    "bun_config_registry",
}
_CANNOT_RUN = {126, 127}  # as shells and prefix commands say it
_TAIL = 4000
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


def wanted_bun(checkout: Path, launch: Launch) -> str:
    """The version of bun that a checkout asks for, else one that is known to work."""
    asked = str(read_package(launch, checkout).get("packageManager", ""))
    exact = _PACKAGE_MANAGER.fullmatch(asked)  # not a path or an address, which npm would take as well
    return exact["version"] if exact else BUN_VERSION


def missing_dependencies(package: Path, launch: Launch) -> list[str]:
    """The dependencies of a package that are not installed, by name."""
    wanted = read_package(launch, package).get("dependencies", {})
    folders = [folder / "node_modules" for folder in (package, *package.parents)]
    return [name for name in wanted if not any((folder / name).exists() for folder in folders)]


async def install_dependencies(
    server: ServerView, launch: Launch, checkout: Path, package: Path, bun: Path
) -> None:
    """Run `bun install`, as the server will be run, in a checkout whose dependencies are missing; one hostler
    at a time.

    Raises ProcessSpawnFailed with what bun said.
    """
    if not missing_dependencies(package, launch):
        return

    def waiting() -> None:
        server.progress("another hostler is installing the dependencies of OpenCode")

    with await take_lock(server.cache_dir / f"opencode-source-{_key(checkout)}.lock", waiting):
        missing = missing_dependencies(package, launch)
        if missing:
            server.progress(f"installing {len(missing)} dependencies of OpenCode (bun install)")
            await _bun_install(server, launch, checkout, bun)


def _key(checkout: Path) -> str:
    return hashlib.sha256(os.path.realpath(checkout).encode()).hexdigest()[:16]


async def _bun_install(server: ServerView, launch: Launch, checkout: Path, bun: Path) -> None:
    try:
        env = _install_env(launch, bun)
        result = await server.run_command([str(bun), "install"], timeout=_DEADLINE, env=env, cwd=checkout)
    except ServerError as error:
        raise ProcessSpawnFailed(
            f"{bun} cannot be run: {error.message}", hint="install bun again", permanent=True
        ) from error

    if result.code in _CANNOT_RUN:
        raise ProcessSpawnFailed(
            f"{bun} cannot be run: {result.last_line}", hint="install bun again", permanent=True
        )
    if result.code != 0:
        what = "did not finish in time" if result.code is None else f"ended with exit code {result.code}"
        said = (result.stderr.strip() or result.stdout.strip())[-_TAIL:]
        raise ProcessSpawnFailed(
            f"the dependencies of OpenCode could not be installed: bun install {what}: {said}",
            hint=f"run `bun install` in {checkout} yourself, and see that the registry can be reached",
        )


def _install_env(launch: Launch, bun: Path) -> dict[str, str]:
    """The server's own variables, the proxies and the registry: no secrets of hostler's for scripts."""
    network = {name: value for name, value in launch.host_env.items() if name.lower() in _OF_HOSTLER}
    env = {**network, **launch.env, "PATH": f"{bun.parent}:{launch.env.get('PATH', '')}"}
    if launch.confinement is not None:  # its home cannot be written
        env["BUN_INSTALL_CACHE_DIR"] = str(private_folder(launch, "bun"))
    return env
