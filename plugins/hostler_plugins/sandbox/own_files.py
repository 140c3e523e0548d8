"""Lists hostler's own program, imports and settings, which a server must not change for the next start."""

from __future__ import annotations

import re
import site
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

_PREFIX = re.compile(r"^\s*prefix\s*=\s*[\"']?(.+?)[\"']?\s*$", re.MULTILINE)
_MOST = 2**16


def import_folders() -> list[Path]:
    """Where Python looks for modules, there or not."""
    user = [site.getusersitepackages()] if site.ENABLE_USER_SITE else []
    return [Path(entry) for entry in dict.fromkeys((*sys.path, *user)) if entry.startswith("/")]


def code_of_ours(roots: Sequence[Path]) -> Iterator[Path]:
    """The environment that hostler runs in, what it imports from, and the files of what it has imported from
    these folders."""
    yield from (Path(sys.prefix), Path(sys.base_prefix), *import_folders())
    inside = tuple(f"{root}/" for root in roots)
    files = (getattr(module, "__file__", None) for module in list(sys.modules.values()))
    yield from sorted({Path(file) for file in files if isinstance(file, str) and file.startswith(inside)})


def settings_of_tools(env: Mapping[str, str]) -> list[Path]:
    """The files, there or not, that say from where npm and bun install for the user of an environment."""
    known = {name.lower(): value for name, value in env.items() if value}
    home = Path(known.get("home", "/"))
    user = Path(known.get("npm_config_userconfig", home / ".npmrc"))
    prefixes = [known[name] for name in ("npm_config_prefix", "prefix") if name in known]

    with suppress(OSError):
        prefixes += _PREFIX.findall(user.read_bytes()[:_MOST].decode(errors="replace"))

    files = [
        user,
        home / ".npmrc",
        home / ".bunfig.toml",
        *(Path(known[name]) / ".bunfig.toml" for name in ("xdg_config_home",) if name in known),
        *(Path(known[name]) for name in ("npm_config_globalconfig",) if name in known),
        *(Path(_at_home(prefix, home)) / "etc" / "npmrc" for prefix in prefixes),
    ]
    return [file for file in dict.fromkeys(files) if file.is_absolute() and file.parent != Path("/")]


def _at_home(text: str, home: Path) -> str:
    """A path as npm reads it."""
    text = text.replace("${HOME}", str(home))
    return f"{home}{text[1:]}" if text.startswith("~/") else text
