"""The services of compose, and the processes of process-compose, whose file is alike."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from hostler.cli.scaffold import supervision
from hostler.cli.scaffold.draft import Drafts, Table, command_of, joined, named, refers_to_port, variables

_OF_A_SERVICE = frozenset(
    ["command", "working_dir", "environment", "env_file", "depends_on", "ports", "ready_log_line", "disabled"]
)
# What compose fills in: its ${A:?b} and ${A-b} have no like, $$ is a $, and $A is ${A}.
_OF_COMPOSE = re.compile(r"\$(?:(?P<dollar>\$)|(?P<word>[A-Za-z_]\w*)|\{(?P<name>\w+)(?P<rest>[^{}]*)\})")
_DEEPEST = 6
_CONDITIONS = {
    "service_completed_successfully": "completed",
    "process_completed_successfully": "completed",
    "process_completed": "completed",
    "service_started": "started",
    "process_started": "started",
}


def read_compose(_: Path, drafts: Drafts) -> None:
    """Add a server for each service or process with a command. Needs PyYAML."""
    try:
        import yaml  # type: ignore[import-untyped]  # noqa: PLC0415 - an extra, for these files alone
    except ImportError:
        raise ValueError("this needs PyYAML: pip install 'hostler[yaml]'") from None
    try:
        content = yaml.safe_load(drafts.text)
        drafts.lines.update(_lines(yaml.compose(drafts.text)))
    except yaml.YAMLError as error:
        raise ValueError(str(error)) from None
    key = "processes" if isinstance(content, dict) and "processes" in content else "services"
    services = content.get(key) if isinstance(content, dict) else None
    if not isinstance(services, dict) or not all(isinstance(one, dict) for one in services.values()):
        raise ValueError("expected tables below services (compose) or processes (process-compose)")
    _services(key, {str(name): _in_shell(key, service) for name, service in services.items()}, drafts)


def _lines(node: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], int]]:
    """The line of each key, by all that lead to it, with and without the table of all services."""
    pairs = node.value if node is not None and node.id == "mapping" else ()
    if node is not None and node.id == "sequence":
        pairs = [(item, None) for item in node.value if item.id == "scalar"]
    for key, value in pairs:
        place = (*path, str(key.value))
        for own in (place, place[1:]):
            yield own, key.start_mark.line + 1
        # Anchors can make a file endless.
        if len(place) < _DEEPEST:
            yield from _lines(value, place)


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
    fixed = None if "${server.port}" in line else _fixed_port(given.get("ports"))
    has_port = refers_to_port(line) or "${server.port}" in line or bool(given.get("ports"))
    ends = supervision.ends(given, is_task=others["kind"] is not None)
    table: dict[str, object] = {
        "command": command_of(line.strip(), str),
        "cwd": given.get("working_dir"),
        "env": variables(given.get("environment"), _of_compose),
        "env_file": _env_files(given.get("env_file")),
        "port": fixed if has_port or others["kind"] else False,
        "autostart": False if given.get("disabled") is True else None,
        "plugins": None
        if others["kind"]
        else _checks(given, check, ports if "${server.port}" in line or fixed else []),
    }
    comment = "Its own port; with ${server.port} in the command it could be any free one." if fixed else ""
    drafts.add(name, {**table, **ends, **others}, comment)
    if given.get("ports") and "${server.port}" not in line and fixed is None:
        drafts.leave_out([name, "ports"], "hostler chooses a port: write ${server.port} into the command")
    drafts.leave_out_rest([name], given, _OF_A_SERVICE | supervision.OF_A_SERVICE)
    for place in supervision.left_out(given):
        drafts.leave_out([name, *place])


def _fixed_port(ports: object) -> int | None:
    """The port that a program has where its command names none: that of the first that is published."""
    first = _inner(ports[0]) if isinstance(ports, list) and ports else ""
    return int(first) if re.fullmatch("[1-9][0-9]{0,4}", first) else None


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
