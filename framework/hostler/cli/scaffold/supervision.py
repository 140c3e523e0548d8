"""How other tools check, restart and stop what they run, as keys of a server."""

from __future__ import annotations

import re
import signal
from collections.abc import Callable, Iterator
from typing import Any, TypeAlias
from urllib.parse import urlsplit

from hostler.cli.scaffold.draft import Table
from hostler.model.units import likely_duration

Filled: TypeAlias = Callable[[str], str]

# Without options that change the request, and with nothing after it but what ends a check.
_REQUEST = re.compile(
    r"(?:\S*/)?(?:curl|wget)(?:\s+(?:-[fsSLqkO-]+|--(?:fail|silent|show-error|quiet|spider)|-O\s*(?:-|/dev/null)"
    r"|-o\s*/dev/null|--tries=\d+))*\s+(?P<url>https?://[^\s|&;<>'\"]+)(?:\s*\|\|\s*(?:exit 1|false))?"
)
_CHECKS = frozenset(["healthcheck", "readiness_probe"])
OF_A_SERVICE = _CHECKS | {"restart", "availability", "shutdown", "stop_signal", "stop_grace_period"}
_OF_A_CHECK = frozenset(["test", "exec", "http_get", "interval", "period_seconds", "timeout", "disable"]) | {
    "timeout_seconds",
    "retries",
    "failure_threshold",
    "success_threshold",
}
_OWN_HOSTS = {"localhost", "127.0.0.1", "0.0.0.0", "::1", None}  # noqa: S104 - read, not listened on
_POLICIES = {
    "always": "always",
    "unless-stopped": "always",
    "true": "always",
    "no": "never",
    "false": "never",
    "on-failure": "on-failure",
    "on_failure": "on-failure",
    "unexpected": "on-failure",
}


def restart(
    policy: object,
    max_restarts: object = None,
    delay: str | None = None,
    start_retries: str | None = None,
) -> dict[str, object] | None:
    """The table `restart`; "on-failure:3" is a policy with a number of restarts."""
    word, _, number = str(policy).lower().partition(":")
    count = int(number) if number.isdigit() else max_restarts
    table = {"policy": _POLICIES.get(word), "max_restarts": count, "initial_delay": delay}
    table["start_retries"] = None if start_retries is None else int(start_retries)
    return {key: value for key, value in table.items() if value is not None} or None


def ends(given: Table, *, is_task: bool) -> dict[str, object]:
    """The keys for the ends of a service of compose or process-compose; a task is never started again."""
    available, shutdown = given.get("availability") or {}, given.get("shutdown") or {}
    policy = restart(
        given.get("restart", available.get("restart")),
        available.get("max_restarts") or None,
        duration(available.get("backoff_seconds")),
    )
    if is_task and policy is not None and policy.get("policy") == "always":
        policy = {key: value for key, value in policy.items() if key != "policy"} or None
    grace = given.get("stop_grace_period", shutdown.get("timeout_seconds"))
    return {
        "restart": policy,
        "stop_signal": signal_name(given.get("stop_signal", shutdown.get("signal"))),
        "force_kill_timeout": duration(grace),
    }


def left_out(given: Table) -> Iterator[list[str]]:
    """The keys at and below those of a service that `ends` and `health` know which were not carried over."""
    available = given.get("availability") or {}
    if not _is_policy(given.get("restart", "no")):
        yield ["restart"]
    if not _is_policy(available.get("restart", "no")):
        yield ["availability", "restart"]
    inside = {
        **dict.fromkeys(_CHECKS, _OF_A_CHECK),
        "availability": frozenset(["restart", "max_restarts", "backoff_seconds"]),
        "shutdown": frozenset(["signal", "timeout_seconds"]),
    }
    for key, names in inside.items():
        yield from ([key, name] for name in given.get(key) or {} if name not in names)


def _is_policy(word: object) -> bool:
    return str(word).lower().partition(":")[0] in _POLICIES


def duration(value: object, unit: str = "s") -> str | None:
    """A number of a unit, or a text with units, as a duration; None where it is none."""
    text = f"{value}{unit}" if isinstance(value, int | float) or str(value).isdigit() else str(value)
    return likely_duration(text) or None


def signal_name(value: object) -> str | None:
    """The name of a signal for "INT", "SIGINT" or 2."""
    if isinstance(value, int):
        return signal.Signals(value).name
    return None if value is None else f"SIG{str(value).upper().removeprefix('SIG')}"


def health_port(given: Table) -> str:
    """The port of the server that a check of compose or process-compose asks, or ""."""
    return str(_request(given).get("port", ""))


def health(given: Table, own_port: str, filled: Filled) -> dict[str, object] | None:
    """The health plugin with its options for a check of compose or process-compose; None for no check.

    `own_port` is the port for which hostler's own stands; `filled` writes hostler's references.
    """
    request, words = _request(given), _words(given)
    common = {
        "interval": duration(given.get("interval", given.get("period_seconds"))),
        "timeout": duration(given.get("timeout", given.get("timeout_seconds"))),
        "failures": given.get("retries", given.get("failure_threshold")),
        "successes": given.get("success_threshold"),
    }
    options = {key: value for key, value in common.items() if value is not None}
    if request:
        port = {} if str(request["port"]) == own_port else {"port": request["port"]}
        kept = {key: value for key, value in request.items() if key != "port"}
        return {"http-health": kept | port | options}
    return {"exec-health": {"command": list(map(filled, words)), **options}} if words else None


def _words(given: Table) -> list[str]:
    """The argv of a check; a line is one of a shell."""
    test = given.get("test", (given.get("exec") or {}).get("command"))
    if isinstance(test, list):
        kind, rest = str(test[0]) if test else "NONE", [str(word) for word in test[1:]]
        return {"CMD": rest, "CMD-SHELL": ["sh", "-c", *rest]}.get(kind, [])
    return ["sh", "-c", str(test)] if test else []


def _request(given: Table) -> dict[str, Any]:
    """Path, port and scheme of a check by HTTP of the server itself, or nothing."""
    asked = given.get("http_get")
    status: dict[str, str] = {}
    if isinstance(asked, dict):
        scheme, host, path = (
            asked.get("scheme", "http"),
            asked.get("host", "localhost"),
            asked.get("path", "/"),
        )
        url = f"{scheme}://{host}:{asked.get('port', 80)}{path}"
    else:
        words = _words(given)
        line = words[2] if words[:2] == ["sh", "-c"] else " ".join(words)
        found = _REQUEST.fullmatch(line.strip())
        url, status = found["url"] if found else "", {"status": "200-399"}
    parts = urlsplit(url)
    if parts.hostname not in _OWN_HOSTS or not url or "$" in url:
        return {}
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    scheme = {"scheme": parts.scheme} if parts.scheme == "https" else {}
    return {"path": path, "port": parts.port or (443 if scheme else 80), **scheme, **status}
