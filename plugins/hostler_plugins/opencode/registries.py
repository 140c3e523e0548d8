"""Keeps npm and bun to the user's registry: settings of a project nearby must not choose it."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from hostler import Launch, is_ours

NO_PROJECT = "--no-workspaces"
"""Keeps npm from taking the settings of a project further up, of which this folder could be a workspace."""

_QUIET = {"npm_config_update_notifier": "false"}
_SET_BY_NPM_RUN = {"npm_lifecycle_event", "npm_package_json", "npm_config_local_prefix"}
_OF_HOME = {
    "xdg_config_home",
    "npm_config_userconfig",
    "npm_config_globalconfig",
    "npm_config_prefix",
    "prefix",
}
_MEMBER = "job"


def separate(folder: Path) -> Path:
    """Make a folder in this one, for which npm and bun read no settings of a project that lies above it.

    Both climb to the nearest `package.json`, and on to one that names that folder as its workspace: they
    end at `folder`, into which bun installs.
    """
    inner = folder / _MEMBER
    inner.mkdir(mode=0o700)
    (folder / "package.json").write_text(json.dumps({"name": "hostler", "workspaces": [_MEMBER]}))
    (inner / "package.json").write_text(json.dumps({"name": _MEMBER}))
    return inner


def tool_env(launch: Launch, path: str, scratch: Path) -> dict[str, str]:
    """The environment for npm and bun: hostler's own, without what `npm run` made of a project's settings.

    They keep what they download in `scratch`: what lies in the caches of a home folder could be anybody's.
    Where the server could change the settings of the home folder, it is their home, too.
    """
    env = dict(launch.host_env)
    if not _SET_BY_NPM_RUN.isdisjoint(env):
        env = {name: value for name, value in env.items() if not _is_set_by_npm(name)}

    if not all(_is_safe(launch, file) for file in _settings(env)):
        env = {name: value for name, value in env.items() if name.lower() not in _OF_HOME}
        env["HOME"] = str(scratch)

    cache = str(scratch / "cache")
    env = {name: value for name, value in env.items() if name.lower() != "npm_config_cache"}
    return {**env, **_QUIET, "npm_config_cache": cache, "BUN_INSTALL_CACHE_DIR": cache, "PATH": path}


def tool_path(tool: Path, launch: Launch) -> str:
    """A PATH on which npm finds the node beside it, then what hostler itself would find: no folder in which
    the server may write."""
    entries = launch.host_env.get("PATH", os.defpath).split(os.pathsep)
    own = [entry for entry in entries if entry.startswith("/") and is_ours(launch, Path(entry))]
    return os.pathsep.join([str(tool.parent), *own])


def _settings(env: Mapping[str, str]) -> Iterator[Path]:
    """The files of a home folder that npm and bun would read, there or not."""
    folders = [env[name] for name in ("HOME", "XDG_CONFIG_HOME") if env.get(name)]
    yield from (Path(folder) / name for folder in folders for name in (".npmrc", ".bunfig.toml"))
    known = {name.lower(): value for name, value in env.items() if value}
    named = [known.get(f"npm_config_{name}config") for name in ("user", "global")]
    prefixes = [known.get(name) for name in ("npm_config_prefix", "prefix")]
    yield from (Path(name) for name in named if name)
    yield from (Path(prefix, "etc", "npmrc") for prefix in prefixes if prefix)


def _is_safe(launch: Launch, file: Path) -> bool:
    """Whether the server could neither change nor make a file."""
    there = next(path for path in (file, *file.parents) if os.path.lexists(path))
    may_write = launch.confinement is not None and launch.confinement.may_write(file)
    return not may_write and is_ours(replace(launch, confinement=None), there)


def _is_set_by_npm(name: str) -> bool:
    return name.lower().startswith(("npm_config_", "bun_config_")) or name == "NODE_OPTIONS"
