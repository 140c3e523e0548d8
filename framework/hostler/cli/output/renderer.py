"""Which events are for people, and their text."""

from __future__ import annotations

import logging
from functools import partial

from msgspec import Struct

from hostler.errors import ServerError
from hostler.events.events import (
    Event,
    HealthReported,
    MemorySampled,
    Notice,
    PluginFailed,
    Progress,
    RestartScheduled,
    Spawned,
    StateChanged,
)
from hostler.events.messages import in_words, log_level
from hostler.launching.spec_secrets import secrets_of_spec
from hostler.model.spec import Configuration, ServerSpec
from hostler.model.states import COMPLETED, State
from hostler.plugins.discovery import find_class
from hostler.secrets.masking import Masker
from hostler.text.sanitize import one_line

_WIDEST_PREFIX = 24

OF_A_RELOAD = frozenset(
    f"{what}_{change}" for what in ("server", "listener") for change in ("added", "changed", "removed")
)
"""Topics of notices that say again what the plan of a reload has said."""


class Rendered(Struct, frozen=True):
    """One line for people and how severe it is, as a level of the logging module."""

    text: str
    level: int


class EventRenderer:
    """Renders events as text. Remembers which servers are running: their health is worth a line."""

    def __init__(self, configuration: Configuration, *, debug: bool = False) -> None:
        self._labels: dict[str, str | partial[str]] = {}
        self._states: dict[str, State] = {}
        self._debug = debug
        self._not_started: set[str] = set()
        self._log_files: dict[str, str] = {}
        self.learn_names(configuration)

    def learn_names(self, configuration: Configuration) -> None:
        """Learn what to call the servers of a configuration, on top of those that are known."""
        many = len(configuration.servers) > 1
        servers = configuration.servers.items()
        self._labels |= {name: partial(label, spec, many=many) for name, spec in servers}

    def render(self, event: Event) -> Rendered | None:
        """Render an event, or return None when it is not for people."""
        self.note(event)
        if isinstance(event, StateChanged):
            return self._render_state(event)
        if isinstance(event, Spawned) and not self._debug:
            return self._render_log_file(event)
        if not self._is_for_people(event):
            return None

        text = f"{self._label(event)}: {in_words(event)}"

        if self._debug and isinstance(event, Spawned):
            text += "".join(f"\n    {name}={value}" for name, value in event.env.items())

        return Rendered(text, log_level(event))

    def note(self, event: Event) -> None:
        """Take note of an event that is not rendered: how later ones are depends on it."""
        if not isinstance(event, StateChanged):
            return
        self._states[event.server] = event.state
        # What failed before the spawn has not crashed: there was no process.
        if event.state is State.CRASHED and event.previous is State.STARTING:
            self._not_started.add(event.server)
        elif event.state not in {State.BACKOFF, State.FAILED}:
            self._not_started.discard(event.server)

    def prefix(self, server: str) -> str:
        """What stands before a line of a server's output, as wide for all servers: "web   | "."""
        width = min(max(map(len, self._labels), default=0), _WIDEST_PREFIX)
        return f"{server:<{width}} | "

    def position(self, server: str) -> int:
        """The place of a server among those that are known, from 0 on."""
        return [*self._labels, server].index(server)

    def starting(self) -> list[str]:
        """The labels of the servers that are being started."""
        return [
            self._label_of(name) or name
            for name, state in self._states.items()
            if state in {State.STARTING, State.WAITING_READY}
        ]

    def _label(self, event: Event) -> str:
        """What to call its server, which may be one of another configuration, or who else it is from."""
        listener = event.details.get("listener") if isinstance(event, Notice) else None
        return self._label_of(event.server) or event.server or str(listener or "hostler")

    def _label_of(self, server: str) -> str:
        """The label of a server, made when it is first shown: hundreds would hold up the first start."""
        found = self._labels.get(server, "")
        if isinstance(found, partial):
            found = self._labels[server] = found()
        return found

    def _render_log_file(self, event: Spawned) -> Rendered | None:
        """Where the output goes, the first time and when that changes."""
        if event.log_file is None or self._log_files.get(event.server) == event.log_file:
            return None
        self._log_files[event.server] = event.log_file
        return Rendered(f"{self._label(event)}: log file {event.log_file}", log_level(event))

    def _is_for_people(self, event: Event) -> bool:
        match event:
            case Notice(topic=topic) if topic in OF_A_RELOAD:
                return self._debug  # it says so itself
            case Progress() | Notice() | MemorySampled() | RestartScheduled() | PluginFailed():
                return True
            case HealthReported():
                return self._debug or (self._states.get(event.server) is State.RUNNING and not event.healthy)
            case _:
                return self._debug

    def _render_state(self, event: StateChanged) -> Rendered | None:
        name, level = self._label(event), log_level(event)

        if event.server in self._not_started:
            return self._render_failed_start(name, event, level)
        if event.reason == COMPLETED:
            return Rendered(f"{name} completed", level) if event.state is State.STOPPED else None

        words = {
            State.STARTING: f"Starting {name}...",
            State.RUNNING: f"{name} started{_where(event)}",
            State.STOPPING: f"Shutting down {name}...",
            State.STOPPED: f"{name} stopped",
            State.CRASHED: f"{name} crashed: {event.reason}",
            State.FAILED: f"{name} failed: {_error_of(event)}",
        }
        return Rendered(words[event.state], level) if event.state in words else None

    def _render_failed_start(self, name: str, event: StateChanged, level: int) -> Rendered | None:
        """One line, once it is decided what follows."""
        if event.state is State.CRASHED:
            return None
        reason = event.reason if event.state is State.BACKOFF else _error_of(event)
        return Rendered(f"{name} not started: {reason}", max(level, logging.WARNING))


def _error_of(event: StateChanged) -> str:
    return (event.error or "").removeprefix(f"{event.server}: ")


def label(spec: ServerSpec, *, many: bool = False) -> str:
    """What people call a server: "OpenCode server", "web server", "OpenCode server second", "build task"."""
    title, kind = one_line(spec.title or _title_of_plugins(spec)), spec.kind.value
    if not title:
        # "task task started" would read like a slip of the pen.
        return spec.name if spec.name.lower().endswith(kind) else f"{spec.name} {kind}"
    title = Masker(secrets_of_spec(spec)).text(title)
    return f"{title} {kind} {spec.name}" if many else f"{title} {kind}"


def _title_of_plugins(spec: ServerSpec) -> str:
    for plugin in spec.plugins:
        try:
            title = getattr(plugin.instance or find_class(plugin), "title", None)
        except ServerError:
            continue  # reported when the server is started
        if isinstance(title, str):
            return title
    return ""


def _where(event: StateChanged) -> str:
    took = "" if event.seconds is None else f", {event.seconds:.1f} s"
    if event.url is None:
        return f" (pid {event.pid}{took})"
    return f" on port {event.url.rpartition(':')[2]}: {event.url} (pid {event.pid}{took})"


def lines_missed(server: str, count: int) -> str:
    """What stands where lines of a server's output are missing."""
    return f"{server}: {count} lines of output were not shown: too many came at once"
