"""Looks for a newer OpenCode on npm, in the background of a start."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

from hostler import Launch, ServerView

from hostler_plugins.opencode.locate import own_tool
from hostler_plugins.opencode.profiles import version_numbers
from hostler_plugins.opencode.registries import NO_PROJECT, separate, tool_env, tool_path
from hostler_plugins.opencode.subprocess import run_tool

_DEADLINE = 30.0  # seconds


async def look_for_update(server: ServerView, launch: Launch, version: str) -> None:
    """Tell as a notice that there is a newer version; silent when npm is missing or cannot tell."""
    npm = own_tool("npm", launch)
    if npm is None or version_numbers(version) == (0, 0, 0):
        return

    newest = await newest_version(npm, launch)
    if version_numbers(newest) > version_numbers(version):
        server.notice(
            "update_available",
            f"OpenCode {newest} is available; version {version} is running",
            newest=newest,
            running=version,
        )


async def newest_version(npm: Path, launch: Launch) -> str:
    """The newest version that npm knows; "" when it cannot tell."""
    with tempfile.TemporaryDirectory(prefix="hostler-npm-") as scratch:
        env = tool_env(launch, tool_path(npm, launch), Path(scratch))
        command = [str(npm), "view", "opencode-ai", "version", "--json", NO_PROJECT]
        try:
            outcome = await run_tool(command, cwd=separate(Path(scratch)), env=env, deadline=_DEADLINE)
            return str(json.loads(outcome.stdout)) if outcome.code == 0 else ""
        except (OSError, ValueError):
            return ""
