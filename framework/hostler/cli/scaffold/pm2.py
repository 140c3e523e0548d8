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
    position = 0
    for app in content["apps"] if isinstance(content, dict) else content:
        position = _note_lines(app, drafts, position)
        _app(app, drafts)


def _app(app: Table, drafts: Drafts) -> None:
    words = [str(app["script"]), joined(app.get("args", ""))]
    interpreter = app.get("interpreter", _INTERPRETERS.get(Path(words[0]).suffix, "none"))
    line = " ".join(word for word in ("" if interpreter == "none" else interpreter, *words) if word)
    env = variables(app.get("env"))
    has_port = refers_to_port(line) or "PORT" in (env or {})
    own = str((app.get("env") or {}).get("PORT", ""))
    port = int(own) if re.fullmatch("[1-9][0-9]{0,4}", own) else None
    if has_port and env and "PORT" in env:
        env["PORT"] = "${server.port}"
    limit = app.get("max_memory_restart")
    plugins: dict[str, dict[str, object]] = (
        {"resource-limits": {"memory_hard": _size(str(limit))}} if limit else {}
    )
    watch = app.get("watch")
    plugins |= {"watch-files": {"paths": watch if isinstance(watch, list) else ["."]}} if watch else {}
    table = {"command": command_of(line), "cwd": app.get("cwd"), "env": env, "plugins": plugins or None}
    comment = "The port of env.PORT; leave the key port out for any free one." if port else ""
    drafts.add(
        str(app.get("name", words[0])), table | {"port": port if has_port else False} | _ends(app), comment
    )
    drafts.leave_out_rest([str(app.get("name", words[0]))], app, _OF_AN_APP | _OF_AN_END)


def _note_lines(app: Table, drafts: Drafts, position: int) -> int:
    """Note the line of an application, found by its name or script; gives where the search goes on."""
    name = str(app.get("name", app.get("script", "")))
    found = re.compile(rf"[\"'`]{re.escape(name)}[\"'`]").search(drafts.text, position)
    if found is None:
        return position
    # Its keys may stand before its name: the search begins at the brace that opens it.
    opened = max(drafts.text.rfind("{", 0, found.start()), 0)
    drafts.lines[(name,)] = drafts.text.count("\n", 0, opened) + 1
    return found.end()


def _size(text: str) -> str:
    return re.sub(r"(?i)^\s*(\d+)\s*([kmg])b?\s*$", lambda one: f"{one[1]} {one[2].upper()}iB", text)


def _ends(app: Table) -> dict[str, object]:
    """The keys for the ends of an application of pm2, which counts in milliseconds."""
    delay = app.get("exp_backoff_restart_delay", app.get("restart_delay"))
    policy = supervision.restart(
        app.get("autorestart"), app.get("max_restarts"), supervision.duration(delay, "ms")
    )
    return {"restart": policy, "force_kill_timeout": supervision.duration(app.get("kill_timeout"), "ms")}
