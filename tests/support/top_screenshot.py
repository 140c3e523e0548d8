"""The pictures of `hostler top` in the docs, of a real run: `python tests/support/top_screenshot.py`."""

from __future__ import annotations

import asyncio
import os
import re
import subprocess
import tempfile
import time
from pathlib import Path

from controlled import short_folder
from hostler.cli.top.app import Top
from hostler.cli.top.server_table import ServerTable
from hostler.client import AsyncClient
from hostler_process import HOSTLER

FOLDER = Path(__file__).parents[2] / "docs" / "images"
THEMES = {"top.svg": "textual-dark", "top-light.svg": "textual-light"}
SIZE = (130, 30)
CONFIGURATION = """
[servers.site]
command = "python3 -u -m http.server ${server.port} --bind ${server.host}"
plugins = { http-health = { interval = "1s" } }

[servers.worker]
port = false
command = ["python3", "-u", "-c", "import time; print('waiting for jobs'); time.sleep(600)"]

[servers.mailer]
port = false
command = ["sh", "-c", "sleep 1; echo 'no connection to the mail server' >&2; exit 3"]
restart = { max_restarts = 9, initial_delay = "20s", max_delay = "20s" }
"""


async def take(project: Path, environ: dict[str, str]) -> dict[str, str]:
    """The screen in each theme, once one server has crashed and another one is healthy."""
    client = AsyncClient(project / "hostler.toml", environ=environ)
    async with Top(client, "hostler.toml").run_test(size=SIZE) as pilot:
        deadline = time.monotonic() + 30
        while True:
            rows = {row.name: row for row in (await client.servers()).servers}
            if rows["mailer"].state == "backoff" and rows["site"].health == "healthy":
                break
            assert time.monotonic() < deadline, rows
            await pilot.pause(0.1)
        pilot.app.query_one(ServerTable).move_cursor(row=0)
        await pilot.pause(12)  # until there are two samples of each, of which CPU is made
        pictures = {}
        for name, theme in THEMES.items():
            pilot.app.theme = theme
            await pilot.pause()
            pictures[name] = pilot.app.export_screenshot(title="hostler top")
        return pictures


def main() -> None:
    with tempfile.TemporaryDirectory() as folder, short_folder() as runtime:
        homes = {f"XDG_{kind}_HOME": folder for kind in ("STATE", "DATA", "CACHE")}
        environ = {**os.environ, **homes, "XDG_RUNTIME_DIR": str(runtime)}
        environ.pop("NO_COLOR", None)
        project = Path(folder)
        (project / "hostler.toml").write_text(CONFIGURATION)
        subprocess.run([*HOSTLER, "up", "--no-wait"], cwd=project, env=environ, check=True)
        try:
            pictures = asyncio.run(take(project, environ))
        finally:
            subprocess.run([*HOSTLER, "down", "--force"], cwd=project, env=environ, check=True)
    for name, picture in pictures.items():
        # Nothing is fetched from elsewhere by who looks at it.
        own = re.sub(r"@font-face \{.*?\}\s*", "", picture, flags=re.DOTALL)
        (FOLDER / name).write_text(re.sub(r"[ \t]+$", "", own, flags=re.MULTILINE))


if __name__ == "__main__":
    main()
