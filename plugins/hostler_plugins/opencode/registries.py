"""Who chooses the registry that programs come from: the user, and no project that lies around."""

from __future__ import annotations

import json
import os
from pathlib import Path

from hostler import Launch, is_ours

NO_PROJECT = "--no-workspaces"
"""Keeps npm from taking the settings of a project further up, of which this folder could be a workspace."""

_QUIET = {"npm_config_update_notifier": "false"}
_SET_BY_NPM_RUN = {"npm_lifecycle_event", "npm_package_json", "npm_config_local_prefix"}
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


def tool_env(launch: Launch, path: str) -> dict[str, str]:
    """The environment for npm and bun: hostler's own, without what `npm run` made of a project's settings."""
    env = dict(launch.host_env)

    if not _SET_BY_NPM_RUN.isdisjoint(env):
        env = {name: value for name, value in env.items() if not _is_set_by_npm(name)}

    return {**env, **_QUIET, "PATH": path}


def tool_path(tool: Path, launch: Launch) -> str:
    """A PATH on which npm finds the node beside it, then what hostler itself would find: no folder in which
    the server may write."""
    entries = launch.host_env.get("PATH", os.defpath).split(os.pathsep)
    own = [entry for entry in entries if entry.startswith("/") and is_ours(launch, Path(entry))]
    return os.pathsep.join([str(tool.parent), *own])


def _is_set_by_npm(name: str) -> bool:
    return name.lower().startswith(("npm_config_", "bun_config_")) or name == "NODE_OPTIONS"
