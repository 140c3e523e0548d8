"""Checks what a plugin returns, yields or edits, so that a fault is the plugin's and not the engine's."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from hostler.errors import ServerError
from hostler.model.launch import Launch
from hostler.model.values import Action, Advice, Endpoint, Healthy, Unhealthy

_PORTS = range(1, 65536)


def endpoint_fault(answer: object) -> str:
    """What is wrong with an answer to parse_port, "" for nothing."""
    if answer is None:
        return ""
    if not isinstance(answer, Endpoint):
        return f"returned {_kind(answer)}, not Endpoint or None"
    if not isinstance(answer.port, int) or isinstance(answer.port, bool) or answer.port not in _PORTS:
        return f"returned port {answer.port!r}, which is not a number from 1 to 65535"
    if not isinstance(answer.host, str) or not answer.host:
        return f"returned the host {answer.host!r}, which is not the name or address of one"

    return "" if isinstance(answer.scheme, str) else f"returned the scheme {answer.scheme!r}, not a string"


def report_fault(report: object) -> str:
    """What is wrong with a report of health_check, "" for nothing."""
    if not isinstance(report, Healthy | Unhealthy):
        return f"it yielded {_kind(report)}, not Healthy or Unhealthy"
    if not isinstance(report.details, Mapping):
        return f"it yielded {_kind(report)} with {_kind(report.details)} for details, not a mapping"
    if not isinstance(report.latency, float | int | None):
        return f"it yielded {_kind(report)} with {_kind(report.latency)} for a latency, not a number"

    return "" if isinstance(report, Healthy) else _unhealthy_fault(report)


def _unhealthy_fault(report: Unhealthy) -> str:
    if not isinstance(report.reason, str):
        return f"it yielded Unhealthy with {_kind(report.reason)} for a reason, not a string"
    if not isinstance(report.limit, int | None):
        return f"it yielded Unhealthy with {_kind(report.limit)} for a limit, not a whole number"

    return _error_fault("it yielded Unhealthy", report.error)


def advice_fault(answer: object) -> str:
    """What is wrong with an answer to on_crash, "" for nothing."""
    if not isinstance(answer, Advice | None):
        return f"returned {_kind(answer)}, not Advice or None"
    if answer is None:
        return ""
    if not isinstance(answer.action, Action):
        return f"returned Advice with {answer.action!r}, not one of {', '.join(map(str, Action))}"
    return _error_fault("returned Advice", answer.error)


def launch_fault(launch: Launch) -> str:
    """What is wrong with an edited launch, "" for nothing; values of variables are not shown."""
    if not isinstance(launch.env, dict):
        return f"left {_kind(launch.env)} as launch.env, not a table of strings"

    # Told here, for Popen would name neither the plugin nor the variable.
    for name, value in launch.env.items():
        if not isinstance(name, str) or not isinstance(value, str):
            return f"left {_kind(value)} as launch.env[{name!r}], not a string"

    for what in ("argv", "wrapper"):
        if fault := _words_fault(what, getattr(launch, what)):
            return fault

    return "" if isinstance(launch.cwd, Path) else f"left {_kind(launch.cwd)} as launch.cwd, not a Path"


def _words_fault(what: str, words: Iterable[object]) -> str:
    if not isinstance(words, list):
        return f"left {_kind(words)} as launch.{what}, not a list of strings"
    odd = next((number for number, word in enumerate(words) if not isinstance(word, str)), None)
    return "" if odd is None else f"left {_kind(words[odd])} as launch.{what}[{odd}], not a string"


def _error_fault(what: str, error: object) -> str:
    if isinstance(error, ServerError | None):
        return ""
    return f"{what} with {_kind(error)} for an error, not a ServerError of hostler"


def _kind(value: object) -> str:
    return type(value).__name__
