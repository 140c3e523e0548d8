"""A project in the background, as the client commands show it."""

from __future__ import annotations

import json
from pathlib import Path

from hostler_process import Done, Run


def write(project: Path, *tables: str) -> None:
    (project / "hostler.toml").write_text("\n".join(tables))


def servers(run: Run) -> dict[str, dict[str, object]]:
    done = run("ps", "--json")
    assert done.returncode == 0, done.stderr
    return {row["name"]: row for row in json.loads(done.stdout)["servers"]}


def pid_of(done: Done) -> int:
    return int(json.loads(done.stdout)["pid"])


def servers_pid(row: dict[str, object]) -> int:
    return int(str(row["pid"]))
