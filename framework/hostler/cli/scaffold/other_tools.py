"""The files of other tools as servers: Procfile, pm2, supervisord, compose and process-compose."""

from __future__ import annotations

import configparser
import json
import re
import subprocess
from collections.abc import Callable, Mapping
from collections.abc import Set as AbstractSet
from pathlib import Path
from typing import Any, TypeAlias

from hostler.cli.scaffold import supervision
from hostler.cli.scaffold.draft import Drafts, command_of, joined, named, refers_to_port
from hostler.errors import InvalidConfiguration, Problem
from hostler.model.interpolation import escape

_PROCESS = re.compile(r"(?P<name>[A-Za-z0-9_.-]+):\s*(?P<line>.+)")
_OF_A_PROGRAM = frozenset(
    ["command", "directory", "environment", "user", "autostart", "autorestart", "stopsignal", "stopwaitsecs"]
)
_OF_A_SERVICE = frozenset(
    ["command", "working_dir", "environment", "env_file", "depends_on", "ports", "ready_log_line", "disabled"]
)
_OF_AN_APP = frozenset(["name", "script", "args", "interpreter", "cwd", "env", "max_memory_restart", "watch"])
# What compose fills in: its ${A:?b} and ${A-b} have no like, $$ is a $, and $A is ${A}.
_OF_COMPOSE = re.compile(r"\$(?:(?P<dollar>\$)|(?P<word>[A-Za-z_]\w*)|\{(?P<name>\w+)(?P<rest>[^{}]*)\})")
_OF_SUPERVISORD = re.compile(r"%(?:(?P<percent>%)|\((?P<name>\w+)\)s)")
_VARIABLE = re.compile(r"""([A-Za-z_]\w*)\s*=\s*(?:"([^"]*)"|'([^']*)'|([^,"']*))""")
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
_CONDITIONS = {
    "service_completed_successfully": "completed",
    "process_completed_successfully": "completed",
    "process_completed": "completed",
    "service_started": "started",
    "process_started": "started",
}
Table: TypeAlias = Mapping[str, Any]


def read_other(path: Path) -> Drafts:
    """The servers of a file, by its name. Raises InvalidConfiguration for what cannot be read."""
    try:
        drafts = Drafts(str(path), path.read_text("utf-8"))
        _reader(path)(path, drafts)
    except KeyError as error:
        raise InvalidConfiguration(
            [Problem("", f"cannot be imported: a {error} is missing", path)]
        ) from error
    except (OSError, ValueError, configparser.Error, AttributeError, TypeError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise InvalidConfiguration([Problem("", f"cannot be imported: {reason}", path)]) from error
    if not drafts.servers:
        raise InvalidConfiguration([Problem("", "there is no process in it", path)])
    return drafts


def _reader(path: Path) -> Callable[[Path, Drafts], None]:
    match path.suffix:
        case ".json" | ".js" | ".cjs":
            return _pm2
        case ".conf" | ".ini":
            return _supervisord
        case ".yaml" | ".yml":
            return _yaml
        case _ if path.name.startswith("Procfile"):
            return _procfile
    raise ValueError(
        "expected Procfile, ecosystem.config.js or .json (pm2), supervisord.conf, compose.yaml or "
        "process-compose.yaml"
    )


def _procfile(_: Path, drafts: Drafts) -> None:
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


def _variables(given: object, written: Callable[[str], str] = escape) -> dict[str, str] | None:
    """Variables as a table, from one or a list of NAME=value; compose fills in `${X}` as hostler does."""
    if isinstance(given, list):
        pairs = (str(one).partition("=") for one in given)
        given = {name: value if equals else None for name, equals, value in pairs}
    table = given if isinstance(given, dict) else {}
    # A variable without a value is the one that the tool itself has.
    return {
        str(key): f"${{{key}:-}}" if value is None else written(_text(value)) for key, value in table.items()
    } or None


def _text(value: object) -> str:
    return json.dumps(value) if isinstance(value, bool) else str(value)


def _note_rest(drafts: Drafts, place: list[str], given: Table, known: AbstractSet[str]) -> None:
    for key in given:
        if key not in known:
            drafts.leave_out([*place, str(key)])


# -- pm2 -------------------------------------------------------------------------------------------


def _pm2(path: Path, drafts: Drafts) -> None:
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
    env = _variables(app.get("env"))
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
        table | {"port": None if has_port else False} | supervision.ends_of_app(app),
    )
    _note_rest(drafts, [str(app.get("name", words[0]))], app, _OF_AN_APP | supervision.OF_AN_END)


def _size(text: str) -> str:
    return re.sub(r"(?i)^\s*(\d+)\s*([kmg])b?\s*$", lambda one: f"{one[1]} {one[2].upper()}iB", text)


# -- supervisord -----------------------------------------------------------------------------------


def _supervisord(_: Path, drafts: Drafts) -> None:
    parser = configparser.ConfigParser(interpolation=None, inline_comment_prefixes=(";",), strict=False)
    parser.read_string(drafts.text)
    for section in parser.sections():
        if section.startswith("program:"):
            _program(section, dict(parser[section]), drafts)
        elif section.partition(":")[0] in {"group", "eventlistener", "fcgi-program", "include"}:
            drafts.leave_out([section])


def _program(section: str, given: dict[str, str], drafts: Drafts) -> None:
    program = section.removeprefix("program:")
    here = str(Path(drafts.label).parent.absolute())
    given = {key: _filled_in(value, program, here) for key, value in given.items()}
    env = {name: "".join(values) for name, *values in _VARIABLE.findall(given.get("environment", ""))}
    wait = given.get("stopwaitsecs")
    table = {
        "command": command_of(given["command"], str),
        "cwd": given.get("directory"),
        "env": _variables(env, str),
        "user": given.get("user"),
        "port": None if refers_to_port(given["command"]) else False,
        "autostart": False if supervision.flag(given.get("autostart", "")) == "false" else None,
        "restart": supervision.restart(
            supervision.flag(given.get("autorestart", "")), start_retries=given.get("startretries")
        ),
        "stop_signal": supervision.signal_name(given.get("stopsignal")),
        "force_kill_timeout": f"{wait}s" if wait else None,
    }
    drafts.add(program, table)
    is_one = given.get("numprocs") == "1"
    _note_rest(drafts, [section], given, _OF_A_PROGRAM | {"startretries", *(["numprocs"] if is_one else [])})


def _filled_in(text: str, program: str, here: str) -> str:
    """A value with hostler's references in the place of those of supervisord."""

    def replacement(found: re.Match[str]) -> str:
        if found["percent"]:
            return "%"
        known = {"here": escape(here), "program_name": program, "process_num": "0", "group_name": program}
        name = found["name"]
        return f"${{{name[4:]}}}" if name.startswith("ENV_") else known.get(name, found[0])

    return _OF_SUPERVISORD.sub(replacement, escape(text))


# -- compose and process-compose -------------------------------------------------------------------


def _yaml(_: Path, drafts: Drafts) -> None:
    try:
        import yaml  # type: ignore[import-untyped]  # noqa: PLC0415 - an extra, for these files alone
    except ImportError:
        raise ValueError("this needs PyYAML: pip install 'hostler[yaml]'") from None
    try:
        content = yaml.safe_load(drafts.text)
    except yaml.YAMLError as error:
        raise ValueError(str(error)) from None
    key = "processes" if isinstance(content, dict) and "processes" in content else "services"
    services = content.get(key) if isinstance(content, dict) else None
    if not isinstance(services, dict) or not all(isinstance(one, dict) for one in services.values()):
        raise ValueError("expected tables below services (compose) or processes (process-compose)")
    _services(key, {str(name): _in_shell(key, service) for name, service in services.items()}, drafts)


def _in_shell(key: str, service: Table) -> Table:
    """A process with several lines as a script; compose has spaces in the place of lines."""
    command = service.get("command")
    if key == "services" or not isinstance(command, str) or "\n" not in command.strip():
        return service
    return {**service, "command": ["sh", "-c", command]}


def _services(key: str, services: Mapping[str, Table], drafts: Drafts) -> None:
    needs = {name: _needs(service.get("depends_on")) for name, service in services.items()}
    tasks = {name for one in needs.values() for name, condition in one.items() if condition == "completed"}
    for name, service in services.items():
        if not service.get("command"):
            drafts.leave_out([key, name], "has no command; hostler runs no images")
            continue
        unknown = [other for other in needs[name] if not services.get(other, {}).get("command")]
        for other in unknown:
            drafts.leave_out([key, name, "depends_on", other], "this server is not there")
        kept = {named(other): how for other, how in needs[name].items() if other not in unknown}
        _service(name, service, drafts, {"needs": kept or None, "kind": "task" if name in tasks else None})


def _service(name: str, given: Table, drafts: Drafts, others: Table) -> None:
    """Add a service; `others` are the keys that depend on its neighbours."""
    check = given.get("healthcheck", given.get("readiness_probe")) or {}
    ports = given.get("ports") or list(filter(None, [supervision.health_port(check)]))
    line = _with_address(_of_compose(joined(given["command"])), ports)
    has_port = refers_to_port(line) or "${server.port}" in line or bool(given.get("ports"))
    ends = supervision.ends(given, is_task=others["kind"] is not None)
    table: dict[str, object] = {
        "command": command_of(line.strip(), str),
        "cwd": given.get("working_dir"),
        "env": _variables(given.get("environment"), _of_compose),
        "env_file": _env_files(given.get("env_file")),
        "port": None if has_port or others["kind"] else False,
        "autostart": False if given.get("disabled") is True else None,
        "plugins": None
        if others["kind"]
        else _checks(given, check, ports if "${server.port}" in line else []),
    }
    drafts.add(name, {**table, **ends, **others})
    if given.get("ports") and "${server.port}" not in line:
        drafts.leave_out([name, "ports"], "hostler chooses a port: write ${server.port} into the command")
    _note_rest(drafts, [name], given, _OF_A_SERVICE | supervision.OF_A_SERVICE)
    for place in supervision.left_out(given):
        drafts.leave_out([name, *place])


def _checks(given: Table, check: Table, ports: list[object]) -> dict[str, object] | None:
    """The plugins that check a service; `ports` are those for which hostler's own stands."""
    line = given.get("ready_log_line")
    log = {"log-ready": {"pattern": re.escape(line)}} if line is not None else {}
    own = _inner(ports[0]) if ports else ""
    health = supervision.health(check, own, lambda word: _with_address(_of_compose(word), ports))
    return {**log, **(health or {})} or None


def _inner(port: object) -> str:
    """The port inside of the container, of "80:8000/tcp" or a table."""
    published = port.get("target") if isinstance(port, dict) else port
    return str(published).rpartition(":")[2].partition("/")[0]


def _of_compose(text: str) -> str:
    """A value with hostler's references in the place of those of compose."""

    def replacement(found: re.Match[str]) -> str:
        if found["dollar"]:
            return "$$"
        default = re.fullmatch(r":?-(.*)", found["rest"] or "", re.DOTALL)
        return f"${{{found['word'] or found['name']}{f':-{default[1]}' if default else ''}}}"

    return _OF_COMPOSE.sub(replacement, text)


def _with_address(line: str, ports: list[object]) -> str:
    """A command with hostler's address in the place of the port that it publishes, and of 0.0.0.0."""
    line = re.sub(r"(?<![\w.])0\.0\.0\.0(?![\w.])", "${server.host}", line)
    for port in ports[:1]:
        inner = re.escape(_inner(port))
        line = re.sub(rf"(?<![\w.]){inner}(?![\w.])", "${server.port}", line)
    return line


def _needs(given: object) -> dict[str, str]:
    if isinstance(given, dict):
        conditions = {str(name): str((one or {}).get("condition")) for name, one in given.items()}
        return {name: _CONDITIONS.get(condition, "ready") for name, condition in conditions.items()}
    return {str(name): "started" for name in given} if isinstance(given, list) else {}


def _env_files(given: object) -> object:
    """As hostler writes them: a path, or a table with a path that may be missing."""
    if not isinstance(given, list):
        return given
    return [
        {"path": one["path"], "optional": one.get("required") is False} if isinstance(one, dict) else one
        for one in given
    ]
