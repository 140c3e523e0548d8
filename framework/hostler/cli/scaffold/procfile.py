"""The processes of a Procfile (foreman, honcho)."""

from __future__ import annotations

import re
from pathlib import Path

from hostler.cli.scaffold.draft import Drafts, command_of, refers_to_port

_PROCESS = re.compile(r"(?P<name>[A-Za-z0-9_.-]+):\s*(?P<line>.+)")


def read_procfile(_: Path, drafts: Drafts) -> None:
    """Add a server for each process; `web`, and what asks for PORT, gets a port."""
    for number, row in enumerate(drafts.text.splitlines(), 1):
        found = _PROCESS.fullmatch(row.strip())
        if found is None:
            if row.strip() and not row.strip().startswith("#"):
                drafts.left_out.append(f"{drafts.label}:{number}: expected NAME: COMMAND")
            continue
        name, line = found["name"], found["line"]
        has_port = name == "web" or refers_to_port(line)
        table = {"command": command_of(line), "port": None if has_port else False}
        drafts.add(name, table | ({"env": {"PORT": "${server.port}"}} if has_port else {}))
