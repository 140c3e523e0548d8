"""The handlers of the control API that show and reload the configuration, and tell its variables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from hostler import Change, Shown
from hostler.control import shapes
from hostler.control.problems import Refused
from hostler.control.routes import Call, Route

if TYPE_CHECKING:
    from hostler.control.api import Host


class ConfigurationReload:
    """Answers requests about what the program that runs the supervisor, its `host`, reads."""

    def __init__(self, host: Host | None) -> None:
        self._host = host

    async def environment(self, call: Call) -> tuple[int, object]:
        """The variables that the configuration refers to, as it is on disk now: names, and no values."""
        names, patterns = await required(self._host).variables()
        return 200, shapes.Variables(names=sorted(names), patterns=sorted(patterns))

    async def configuration(self, call: Call) -> tuple[int, object]:
        """The configuration as it is on disk now, with the origin of each value; no credentials."""
        host = required(self._host)
        shown = await host.show(None)
        changes = await host.reload(dry_run=True, environ=None)
        pending = [*changes.added, *changes.removed, *changes.changed]
        return 200, _shown(shown, pending)

    async def server(self, call: Call) -> tuple[int, object]:
        """The same of one server."""
        host, name = required(self._host), call.parts["name"]
        try:
            shown = await host.show(name)
        except KeyError:
            raise Refused("not_found", f"the configuration has no server {name!r}") from None
        changes = await host.reload(dry_run=True, environ=None)
        return 200, _shown(shown, [name] if {name} & {*changes.added, *changes.changed} else [])

    async def reload(self, call: Call) -> tuple[int, object]:
        """Read the configuration again, and restart what has changed."""
        given: Mapping[str, str | None] | None = call.body.environment
        for name, value in (given or {}).items():
            if not name or set("=\0") & set(name) or "\0" in (value or ""):
                raise Refused("invalid_request", f"environment: {name!r} or its value cannot be one")
        host = required(self._host)
        changes = await host.reload(dry_run=call.body.dry_run, environ=given)
        if call.body.start and not call.body.dry_run:
            host.start_rest()
        answer = shapes.Changes(
            added=list(changes.added),
            removed=list(changes.removed),
            restarted=list(changes.restarted),
            unchanged=list(changes.unchanged),
            changed=_key_changes(changes.changed),
            when_idle=list(changes.when_idle),
            listeners=shapes.ListenerChanges(
                added=list(changes.listeners.added),
                removed=list(changes.listeners.removed),
                changed=_key_changes(changes.listeners.changed),
            ),
            control=_of_one(changes.control),
        )
        return 200, answer

    def routes(self) -> tuple[Route, ...]:
        """Its part of the table."""
        wrong = ("invalid_configuration",)
        body, answer = shapes.Reload, shapes.Changes
        return (
            Route("GET", "/v1/configuration", self.configuration, shapes.Configuration, problems=wrong),
            Route(
                "GET",
                "/v1/servers/{name}/configuration",
                self.server,
                shapes.Configuration,
                problems=("not_found", *wrong),
            ),
            Route("GET", "/v1/environment", self.environment, shapes.Variables),
            Route("POST", "/v1/reload", self.reload, answer, body=body, problems=wrong),
        )


def required(host: Host | None) -> Host:
    """The host. Raises Refused where there is none."""
    if host is None:
        raise Refused("unsupported", "the program that runs these servers does not offer that")
    return host


def _shown(shown: Shown, pending: list[str]) -> shapes.Configuration:
    values = [shapes.Value(key=one.key, value=one.value, origin=one.place) for one in shown.values]
    return shapes.Configuration(toml=shown.toml, values=values, pending=pending)


def _key_changes(changed: Mapping[str, tuple[Change, ...]]) -> dict[str, list[shapes.KeyChange]]:
    return {name: _of_one(keys) for name, keys in changed.items()}


def _of_one(keys: Sequence[Change]) -> list[shapes.KeyChange]:
    return [shapes.KeyChange(key=one.key, before=one.before, after=one.after) for one in keys]
