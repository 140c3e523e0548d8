"""Which version a program is: read where it is written, else asked, and remembered."""

from __future__ import annotations

import hashlib
import json
import os
import re
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from hostler_plugins.opencode.environment import make_private
from hostler_plugins.opencode.programs import NAMES, Program
from hostler_plugins.opencode.tools import run_tool

_DEADLINE = 15.0  # seconds; a first start on a busy machine takes its time
_SAID = re.compile(
    r"^\s*(?:(?P<name>[a-z][\w-]*)\s+)?v?(?P<version>\d+\.\d+\.\d+\S*|local)\s*$", re.MULTILINE
)
_PACKAGES = ("opencode-", "@opencode-ai/")


@dataclass(frozen=True, slots=True)
class Version:
    """A version as text ("" when nobody can tell), and whether it is the preview of the 2.x program."""

    text: str
    preview: bool = False


async def version_of(program: Program, cache: Path, env: Mapping[str, str]) -> Version:
    """The version of a program: from npm's package.json near it, from the cache, or by running it."""
    if program.native and (written := package_version(program.path)):
        return written

    memory = cache / "opencode" / "versions" / f"{_key(program.path)}.json"

    with suppress(OSError, ValueError, KeyError, TypeError):
        known = json.loads(memory.read_text())
        return Version(str(known["version"]), bool(known["preview"]))

    asked = await ask(program.path, env)

    if asked.text and program.native:
        remember(memory, asked)

    return asked


def package_version(program: Path) -> Version | None:
    """What the package.json of the npm package around a program says; None where there is none."""
    try:
        package = json.loads((program.parent.parent / "package.json").read_text())
        name, version = str(package["name"]), str(package["version"])
    except (OSError, ValueError, KeyError, TypeError):
        return None

    preview = name.startswith("@opencode-ai/cli")
    return Version(version, preview) if name.startswith(_PACKAGES) else None


async def ask(program: Path, env: Mapping[str, str]) -> Version:
    """Run `PROGRAM --version` where it can leave nothing behind."""
    with tempfile.TemporaryDirectory(prefix="hostler-version-") as scratch:
        private = {f"XDG_{kind}_HOME": f"{scratch}/{kind}" for kind in ("DATA", "CACHE", "STATE", "CONFIG")}
        quiet = {**env, **private, "TMPDIR": scratch, "OPENCODE_DISABLE_MODELS_FETCH": "1"}

        try:
            outcome = await run_tool(
                [str(program), "--version"], cwd=Path(scratch), env=quiet, deadline=_DEADLINE
            )
        except OSError:
            return Version("")

    said = _SAID.search(outcome.stdout) if outcome.code == 0 else None
    return (
        Version("", program.name == "lildax")
        if said is None
        else Version(said["version"], said["name"] == NAMES[1])
    )


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


def source_version(package: Path) -> Version:
    """The version of a checkout, as its package.json says."""
    try:
        return Version(str(json.loads((package / "package.json").read_text()).get("version", "")))
    except (OSError, ValueError, AttributeError):
        return Version("")
