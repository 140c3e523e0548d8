"""The applications of pm2's ecosystem file."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

from hostler.cli.scaffold import supervision
from hostler.cli.scaffold.draft import Drafts, Table, command_of, joined, refers_to_port, variables

_OF_AN_APP = frozenset(["name", "script", "args", "interpreter", "cwd", "env", "max_memory_restart", "watch"])
_OF_AN_END = frozenset(
    ["autorestart", "max_restarts", "exp_backoff_restart_delay", "restart_delay", "kill_timeout"]
)
_INTERPRETERS = {
    ".js": "node",
    ".cjs": "node",
    ".mjs": "node",
    ".py": "python3",
    ".rb": "ruby",
    ".php": "php",
}
_EXPORT = "console.log(JSON.stringify(require(process.argv[1])))"
_NODE_TIMEOUT = 20


def read_pm2(path: Path, drafts: Drafts) -> None:
    """Add a server for each application; node evaluates a file that is JavaScript."""
    if path.suffix == ".json":
        content = json.loads(drafts.text)
    else:
        command = ["node", "-e", _EXPORT, str(path.absolute())]
        done = subprocess.run(command, capture_output=True, text=True, timeout=_NODE_TIMEOUT, check=False)
        if done.returncode:
            raise ValueError(f"node cannot read it: {done.stderr.strip()}")
        content = json.loads(done.stdout)
    for app in content["apps"] if isinstance(content, dict) else content:
        _app(app, drafts)


def _app(app: Table, drafts: Drafts) -> None:
    words = [str(app["script"]), joined(app.get("args", ""))]
    interpreter = app.get("interpreter", _INTERPRETERS.get(Path(words[0]).suffix, "none"))
    line = " ".join(word for word in ("" if interpreter == "none" else interpreter, *words) if word)
    env = variables(app.get("env"))
    has_port = refers_to_port(line) or "PORT" in (env or {})
    if has_port and env and "PORT" in env:
        env["PORT"] = "${server.port}"
    limit = app.get("max_memory_restart")
    plugins: dict[str, dict[str, object]] = (
        {"resource-limits": {"memory_hard": _size(str(limit))}} if limit else {}
    )
    watch = app.get("watch")
    plugins |= {"watch-files": {"paths": watch if isinstance(watch, list) else ["."]}} if watch else {}
    table = {"command": command_of(line), "cwd": app.get("cwd"), "env": env, "plugins": plugins or None}
    drafts.add(
        str(app.get("name", words[0])),
        table | {"port": None if has_port else False} | _ends(app),
    )
    drafts.leave_out_rest([str(app.get("name", words[0]))], app, _OF_AN_APP | _OF_AN_END)


def _size(text: str) -> str:
    return re.sub(r"(?i)^\s*(\d+)\s*([kmg])b?\s*$", lambda one: f"{one[1]} {one[2].upper()}iB", text)


def _ends(app: Table) -> dict[str, object]:
    """The keys for the ends of an application of pm2, which counts in milliseconds."""
    delay = app.get("exp_backoff_restart_delay", app.get("restart_delay"))
    policy = supervision.restart(
        app.get("autorestart"), app.get("max_restarts"), supervision.duration(delay, "ms")
    )
    return {"restart": policy, "force_kill_timeout": supervision.duration(app.get("kill_timeout"), "ms")}
