"""Each call of the control API: its method, its path, what it takes, and the type of its answer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import msgspec

from hostler.client.requests import Call, Stream, WholeLog, target_of
from hostler.control import shapes
from hostler.control.dashboard_shapes import DashboardAddress
from hostler.control.log_shapes import LogLine, LogPage, LogRun
from hostler.control.shapes import When

if TYPE_CHECKING:
    from hostler import StreamName

_GRACE = 10.0  # seconds that an answer may be later than the time which hostler was given


def about() -> Call[shapes.Daemon]:
    """The hostler that answers."""
    return Call("GET", "/v1", shapes.Daemon)


def servers(*, name: str | None = None, state: str | None = None) -> Call[shapes.ServerList]:
    """All servers, or those of this name or state, with the cursor of this snapshot among the events."""
    return Call("GET", target_of("/v1/servers", {"name": name, "state": state}), shapes.ServerList)


def server(name: str) -> Call[shapes.ServerRow]:
    """One server as it is now."""
    return Call("GET", _of(name), shapes.ServerRow)


def crashes(name: str) -> Call[shapes.CrashPage]:
    """The records of a server's last unexpected exits."""
    return Call("GET", f"{_of(name)}/crashes", shapes.CrashPage)


def crash(name: str, number: int) -> Call[dict[str, Any]]:
    """One of these records, by its number among all crashes of the server."""
    return Call("GET", f"{_of(name)}/crashes/{number}", dict[str, Any])


def memory(name: str) -> Call[shapes.MemoryPage]:
    """What a server used in the last hour."""
    return Call("GET", f"{_of(name)}/memory", shapes.MemoryPage)


def processes(name: str) -> Call[shapes.ProcessTree]:
    """The process tree of a server."""
    return Call("GET", f"{_of(name)}/processes", shapes.ProcessTree)


def work(name: str) -> Call[shapes.Work]:
    """What runs on a server, as its plugins tell."""
    return Call("GET", f"{_of(name)}/work", shapes.Work)


def plugins() -> Call[shapes.PluginPage]:
    """The calls, seconds and failures of each hook of all plugins."""
    return Call("GET", "/v1/plugins", shapes.PluginPage)


def connection(name: str) -> Call[shapes.Connection]:
    """What a program needs to talk to a server: its URL, credentials and variables."""
    return Call("GET", f"{_of(name)}/connection", shapes.Connection)


def events(
    *, after: str = "", kind: str | None = None, server: str | None = None, limit: int | None = None
) -> Call[shapes.EventPage]:
    """A page of the last events behind a cursor, oldest first."""
    query = {"after": after or None, "kind": kind, "server": server, "limit": limit}
    return Call("GET", target_of("/v1/events", query), shapes.EventPage)


def follow_events(
    *, after: str | None = None, kind: str | None = None, server: str | None = None
) -> Stream[dict[str, Any]]:
    """The events behind the cursor `after`, and those to come (without it: only those).

    Iterate over it inside `with`. A Gap stands where events are missing. After a break it goes on where
    it was; it ends when hostler does, or with `close`, also from another thread.
    """
    query = {"kind": kind, "server": server}
    return Stream("/v1/events", {"": dict[str, Any]}, query, after, begins_now=True)


def log(
    *names: str,
    since: datetime | str | None = None,
    until: datetime | str | None = None,
    after: str | None = None,
    before: str | None = None,
    contains: str | None = None,
    stream: StreamName | None = None,
    run: int | None = None,
    limit: int | None = None,
) -> Call[LogPage]:
    """A page of what servers (all, without names) have printed, by time: the last lines, oldest first.

    With `after` the first lines behind that cursor, of which "" is before the oldest; with `before` the last
    ones in front of it. `contains` is literal text.
    """
    query = _lines(names, since, contains=contains, stream=stream, run=run)
    query |= {"until": _moment(until), "after": after, "before": before, "limit": limit}
    return Call("GET", target_of("/v1/log", query), LogPage)


def read_log(
    *names: str,
    since: datetime | str | None = None,
    until: datetime | str | None = None,
    after: str | None = None,
    contains: str | None = None,
    stream: StreamName | None = None,
    run: int | None = None,
) -> WholeLog:
    """All that servers (all, without names) have printed until now, by time, oldest first.

    With `after` what is behind that cursor. `contains` is literal text. Behind the lines comes a LogEnd.
    """
    query = _lines(names, since, contains=contains, stream=stream, run=run)
    return WholeLog(target_of("/v1/log", query | {"until": _moment(until), "after": after}))


def follow_log(
    *names: str,
    after: str | None = None,
    since: datetime | str | None = None,
    contains: str | None = None,
    stream: StreamName | None = None,
    run: int | None = None,
    last: int | None = None,
) -> Stream[LogLine | LogRun]:
    """The lines behind the cursor `after` (without it: the `last` ones), and those to come.

    Of all servers, or of those that are named. A LogRun stands where a run begins, a Gap where lines
    are no longer kept. Used as `follow_events`.
    """
    query = _lines(names, since, contains=contains, stream=stream, run=run) | {"limit": last}
    return Stream("/v1/log", {"line": LogLine, "run": LogRun}, query, after)


def start(*names: str, wait: bool = True, timeout: float | None = None) -> Call[shapes.Outcomes]:
    """Start servers (all, without names) and what they need.

    With `wait` it returns when they are ready, and raises what made one fail; TimeoutError after `timeout`
    seconds. The start goes on then.
    """
    return _command("start", shapes.Commands(names=list(names), wait=wait, timeout=timeout))


def stop(
    *names: str, force: bool = False, wait: bool = True, timeout: float | None = None
) -> Call[shapes.Outcomes]:
    """Stop servers (all, without names), each after those that need it; with `force` they are killed."""
    return _command("stop", shapes.Commands(names=list(names), force=force, wait=wait, timeout=timeout))


def restart(
    *names: str,
    wait: bool = True,
    timeout: float | None = None,
    generation: int | None = None,
    when: When = "now",
    within: float = 600.0,
) -> Call[shapes.Outcomes]:
    """Restart servers (all, without names), now or in a quiet moment, which has to come within those seconds.

    With `generation` it is refused ("stale_generation") when another run is there by now.
    """
    command = shapes.Commands(
        names=list(names), wait=wait, timeout=timeout, generation=generation, when=when, within=within
    )
    return _command("restart", command)


def reload(
    *, dry_run: bool = False, start: bool = False, environment: Mapping[str, str | None] | None = None
) -> Call[shapes.Changes]:
    """Have the configuration read again, and what has changed restarted; with `dry_run` only told.

    The variables of `environment` replace those that hostler has; one that is None is not set. With `start`
    all are started that start by themselves, and were neither started nor stopped until now.
    """
    given = None if environment is None else dict(environment)
    body = shapes.Reload(dry_run=dry_run, start=start, environment=given)
    return Call("POST", "/v1/reload", shapes.Changes, _body(body), float("inf"))


def add(template: str, name: str, /, **parameters: Any) -> Call[shapes.ServerRow]:
    """Add a server of a template, with values for its parameters; nothing where there is the same already.

    It is refused ("exists") where there is another one of this name.
    """
    body = _body({"template": template, "parameters": parameters})
    return Call("PUT", _of(name), shapes.ServerRow, body)


def remove(name: str) -> Call[None]:
    """Stop a server, and forget it. It is refused ("needed_by_others") where others need it."""
    return Call("DELETE", _of(name), type(None), limit=float("inf"))


def configuration(name: str | None = None) -> Call[shapes.Configuration]:
    """The configuration, or one server of it, as it is on disk, with the origin of each value."""
    target = "/v1/configuration" if name is None else f"{_of(name)}/configuration"
    return Call("GET", target, shapes.Configuration)


def environment() -> Call[shapes.Variables]:
    """The names of the variables that the configuration refers to, as it is on disk now."""
    return Call("GET", "/v1/environment", shapes.Variables)


def dashboard(*, keep: bool = False) -> Call[DashboardAddress]:
    """Have hostler offer its dashboard: an address that works once, for a minute.

    It ends when nobody has used it for ten minutes, with `keep` when hostler does.
    """
    return Call("POST", "/v1/dashboard", DashboardAddress, _body({"keep": keep}))


def shutdown(*, force: bool = False) -> Call[None]:
    """Have all servers stopped, and hostler end. It has not ended yet when this returns."""
    return Call("POST", "/v1/shutdown", type(None), _body({"force": force}))


def is_ready() -> Call[bool]:
    """Whether all servers that are wanted may be used."""
    return Call("GET", "/readyz", bool)


def document() -> Call[dict[str, Any]]:
    """The API of that hostler as an OpenAPI document."""
    return Call("GET", "/openapi.json", dict[str, Any])


def live() -> Call[bool]:
    """Whether hostler lives."""
    return Call("GET", "/livez", bool)


def _lines(
    names: Sequence[str],
    since: datetime | str | None,
    contains: str | None,
    stream: str | None,
    run: int | None,
) -> dict[str, object]:
    chosen = ",".join(names) or None
    return {"servers": chosen, "since": _moment(since), "contains": contains, "stream": stream, "run": run}


def _moment(time: datetime | str | None) -> str | None:
    return time.isoformat() if isinstance(time, datetime) else time


def _command(verb: str, command: shapes.Commands) -> Call[shapes.Outcomes]:
    limit = float("inf") if command.timeout is None else command.timeout + _GRACE
    return Call(
        "POST",
        f"/v1/servers/{verb}",
        shapes.Outcomes,
        _body(command),
        limit if command.wait else None,
    )


def _body(value: object) -> bytes:
    return msgspec.json.encode(value)


def _of(name: str) -> str:
    return f"/v1/servers/{quote(name, safe='')}"
