"""Events in words: for the log and for people at a terminal."""

from __future__ import annotations

import logging
from functools import singledispatch

from hostler.events.crash_words import what_followed, which_try
from hostler.events.events import (
    CrashRecorded,
    EndpointFound,
    Event,
    Exited,
    HealthReported,
    MemorySampled,
    Notice,
    PluginFailed,
    Progress,
    RestartScheduled,
    Spawned,
    StateChanged,
    StreamReceived,
)
from hostler.model.states import State
from hostler.model.values import ExitCause, StreamGap


@singledispatch
def in_words(event: Event) -> str:
    """One event as a sentence without the server's name."""
    return event.kind


@in_words.register
def _(event: StateChanged) -> str:
    text = f"{event.previous.value} -> {event.state.value}"
    text += f" in {event.seconds:.1f} s" if event.seconds is not None else ""
    text += f" at {event.url}" if event.url and event.state is State.RUNNING else ""
    text += f" (pid {event.pid})" if event.pid else ""
    text += f": {event.reason}" if event.reason else ""
    return text


@in_words.register
def _(event: Spawned) -> str:
    return f"spawned pid {event.pid}: {' '.join(event.argv)} (in {event.cwd})"


@in_words.register
def _(event: EndpointFound) -> str:
    return f"listens at {event.endpoint.url} ({found_by(event.source)})"


def found_by(source: str) -> str:
    """What named the port of a server: a plugin, or hostler and the configuration before the start."""
    return "the port that it was given" if source == "configuration" else f"found by {source}"


@in_words.register
def _(event: HealthReported) -> str:
    if event.healthy is None:
        return f"health unknown: {event.plugin} failed: {event.reason}"
    if event.healthy:
        return f"healthy ({event.plugin})"
    return f"unhealthy ({event.plugin}, {event.failures} in a row): {event.reason}"


@in_words.register
def _(event: Exited) -> str:
    exit_ = event.exit
    how = f"ended: {exit_.description}"
    if exit_.cause is ExitCause.STOPPED:
        how = f"stopped: {exit_.description}".replace(": killed by", " by")
    return f"{how} after {exit_.uptime:.1f} s"


@in_words.register
def _(event: RestartScheduled) -> str:
    when = f"in {event.delay:.1f} s" if event.delay else "now"
    if event.first_start:
        return f"{which_try(event.used, event.allowed)} {when}"
    return f"{event.used} of {event.allowed} restarts used, next try {when}"


@in_words.register
def _(event: CrashRecorded) -> str:
    record = event.record
    what = "crash" if record.started else "failed start"
    how = f"{record.how} after {record.uptime:.1f} s" if record.started else record.reason
    return f"{what} on record: {how}; {what_followed(record)}"


@in_words.register
def _(event: PluginFailed) -> str:
    if event.hook == "listen":  # of a listener: no plugin has a hook of this name
        text = f"listener {event.plugin} failed: {event.reason}"
        return f"{text}; it is called no more" if event.disabled else text
    text = f"plugin {event.plugin} failed in {event.hook}: {event.reason}"
    return f"{text}; the hook has been disabled" if event.disabled else text


@in_words.register
def _(event: Notice) -> str:
    return event.text


@in_words.register
def _(event: Progress) -> str:
    return event.text if event.fraction is None else f"{event.text} ({event.fraction:.0%})"


@in_words.register
def _(event: MemorySampled) -> str:
    processes = "1 process" if event.processes == 1 else f"{event.processes} processes"
    return f"uses {event.rss / 2**20:.0f} MiB in {processes} after {event.uptime:.0f} s"


@in_words.register
def _(event: StreamReceived) -> str:
    if isinstance(event.item, StreamGap):
        return f"gap in the event stream: {event.item.reason}"
    return f"event {event.item.type}: {event.item.data}"


def log_level(event: Event) -> int:
    """How loud an event is, as a level of the logging module."""
    match event:
        case StateChanged(state=State.FAILED):
            return logging.ERROR
        case StateChanged(state=State.CRASHED) | PluginFailed() | HealthReported(healthy=False | None):
            return logging.WARNING
        case Notice(level="warning"):
            return logging.WARNING
        case Progress() | MemorySampled() | StateChanged() | RestartScheduled() | Exited() | Notice():
            return logging.INFO
        case _:
            return logging.DEBUG
