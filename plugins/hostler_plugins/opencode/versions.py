"""Determines the version of a program: from its package.json, else by running it once."""

from __future__ import annotations

import hashlib
import json
import os
import re
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from hostler import Launch, ServerError, ServerView, private_folder

from hostler_plugins.opencode.environment import make_private
from hostler_plugins.opencode.programs import NAMES, Program, read_package

_DEADLINE = 15.0  # seconds; a first start on a busy machine takes its time
# 1.x prints the bare version, 2.x its name before it, a development build "local".
_SAID = re.compile(
    r"^\s*(?:(?P<name>[a-z][\w-]*)\s+)?v?(?P<version>\d+\.\d+\.\d+\S*|local)\s*$", re.MULTILINE
)
_PACKAGES = ("opencode-", "@opencode-ai/")


@dataclass(frozen=True, slots=True)
class Version:
    """A version as text ("" when nobody can tell), and whether it is the preview of the 2.x program."""

    text: str
    preview: bool = False


async def version_of(program: Program, server: ServerView, launch: Launch) -> Version:
    """The version of a program: from npm's package.json near it, from the cache, or by running it."""
    if program.native and (written := package_version(program.path, launch)):
        return written

    memory = launch.cache_dir / "opencode" / "versions" / f"{_key(program.path)}.json"

    with suppress(OSError, ValueError, KeyError, TypeError):
        known = json.loads(memory.read_text())
        return Version(str(known["version"]), bool(known["preview"]))

    # Starting the program may take seconds: it is asked once for each file, by its time and size.
    asked = await ask(program.path, server, launch)
    if asked.text and program.native:
        remember(memory, asked)

    return asked


def package_version(program: Path, launch: Launch) -> Version | None:
    """What the package.json of the npm package around a program says; None where there is none."""
    package = read_package(launch, program.parent.parent)
    name = str(package.get("name", ""))
    if not name.startswith(_PACKAGES) or "version" not in package:
        return None
    return Version(str(package["version"]), preview=name.startswith("@opencode-ai/cli"))


async def ask(program: Path, server: ServerView, launch: Launch) -> Version:
    """Run `PROGRAM --version` as the server will be run, where it can leave nothing behind."""
    try:
        scratch = _scratch(launch)
        private = {
            f"XDG_{kind}_HOME": f"{scratch}/version-{kind}" for kind in ("DATA", "CACHE", "STATE", "CONFIG")
        }
        quiet = {**launch.env, **private, "TMPDIR": str(scratch), "OPENCODE_DISABLE_MODELS_FETCH": "1"}
        argv = [str(program), "--version"]
        result = await server.run_command(argv, timeout=_DEADLINE, env=quiet, cwd=scratch)
    except (OSError, ServerError):
        return Version("")

    said = _SAID.search(result.stdout) if result.code == 0 else None
    return (
        Version("", program.name == "lildax")
        if said is None
        else Version(said["version"], said["name"] == NAMES[1])
    )


def _scratch(launch: Launch) -> Path:
    """A folder that ends with the run: its TMPDIR, unless that is one of the user's."""
    tmpdir = Path(launch.env.get("TMPDIR", "/"))
    is_private = any(path in (tmpdir, *tmpdir.parents) for path in launch.temporary)
    return tmpdir if is_private else private_folder(launch, "version")


def remember(memory: Path, version: Version) -> None:
    """Keep an answer for the next start; a cache that cannot be written is no reason to fail."""
    with suppress(OSError):
        make_private(memory.parent)
        half = memory.with_suffix(f".{os.getpid()}")
        half.write_text(json.dumps({"version": version.text, "preview": version.preview}))
        half.chmod(0o600)
        half.replace(memory)


def _key(program: Path) -> str:
    found = program.stat()
    identity = f"{program.resolve()}\n{found.st_mtime_ns}\n{found.st_size}"
    return hashlib.sha256(identity.encode()).hexdigest()[:32]


def source_version(package: Path, launch: Launch) -> Version:
    """The version of a checkout, as its package.json says."""
    return Version(str(read_package(launch, package).get("version", "")))
