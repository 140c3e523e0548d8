"""Why a server is not ready, or cannot take a command: an error for each partial start and each state."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime

from hostler.errors import PluginError, ProcessAlreadyRunning, ServerError, StartupTimeout
from hostler.events.crash import CrashRecord
from hostler.model.choices import HealthRule
from hostler.model.states import State
from hostler.model.values import Unhealthy
from hostler.runtime.base_run import Run
from hostler.runtime.health import PluginHealth
from hostler.runtime.server_facts import ServerFacts


def why_not_ready(run: Run) -> ServerError:
    """The error that says how far the start came, and what was missing."""
    where = run.endpoint.url if run.endpoint is not None else "it has no port"
    return _known_cause(run) or StartupTimeout(
        f"the process is up ({where}), but it is not ready after {run.spec.startup_timeout:g} s: "
        f"{_health(run)}",
        hint=_hints(run) or "raise startup_timeout if it needs longer; its last lines are below",
        details={"reason": _health(run)},
    )


def not_supervised(server: ServerFacts) -> ServerError:
    """The error of a command while no supervisor carries it out."""
    hint = "use it inside `async with Supervisor(...)`"
    return ServerError("its supervisor does not run, or has removed it", server=server.name, hint=hint)


def already_running(server: ServerFacts) -> ProcessAlreadyRunning:
    """The error of a start while it runs."""
    stdout, stderr = ("", "") if server.run is None else server.run.tails()
    error = ProcessAlreadyRunning(
        f"it is already running (pid {server.pid})",
        hint="use restart() to start it again",
        details={"pid": server.pid, "url": server.url},
    )
    return server.reporter.own(error, stdout=stdout, stderr=stderr)


def not_in_time(server: ServerFacts, what: str, timeout: float) -> StartupTimeout:
    """The error of a wait that took too long: the state, what is known at this moment, the last lines."""
    reason, hint = _so_far(server, timeout)
    reason += _earlier(server, reason)
    stdout, stderr = _last_lines(server)
    error = StartupTimeout(
        f"not {what} after {timeout:g} s; it is {server.state.value}: {reason}",
        hint=hint,
        details={"state": server.state.value, "timeout": timeout, "reason": reason},
    )
    return server.reporter.own(error, stdout=stdout, stderr=stderr)


# -- a process that is up --------------------------------------------------------------------------


def _known_cause(run: Run) -> ServerError | None:
    if run.discovery is not None and run.endpoint is None:
        return run.discovery.failure()

    missing = _missing(run)
    unknown = [plugin for plugin in missing if plugin.fault]
    if unknown and (run.spec.health is HealthRule.ALL or len(unknown) == len(missing)):
        name, fault = unknown[0].name, unknown[0].fault
        return PluginError(
            f"its health is unknown: plugin {name} failed: {fault}",
            hint=f"repair the plugin, or disable it with {name} = false",
            permanent=False,
        )
    if len(missing) == 1 and isinstance(missing[0].last, Unhealthy):
        return missing[0].last.error

    return None


def _missing(run: Run) -> list[PluginHealth]:
    return [] if run.health is None else run.health.missing


def _hints(run: Run) -> str:
    """What the plugins know to do."""
    reports = [plugin.last for plugin in _missing(run)]
    return "; ".join(dict.fromkeys(one.hint for one in reports if isinstance(one, Unhealthy) and one.hint))


def _health(run: Run) -> str:
    return "; ".join(f"{plugin.name}: {plugin.summary}" for plugin in _missing(run))


# -- any state -------------------------------------------------------------------------------------


def _so_far(server: ServerFacts, timeout: float) -> tuple[str, str]:
    """What is known, and what to do."""
    run, crash = server.run, server.last_failure

    match server.state:
        case State.STARTING:
            return _preparing(server, timeout)
        case State.WAITING_READY if run is not None:
            return _waiting(server, run, timeout)
        case State.BACKOFF if crash is not None:
            return _backing_off(crash)
        case State.CRASHED if server.error is not None:
            return server.error.message, server.error.context.hint
        case State.RUNNING:
            reason = "a stop or a restart was requested" if server.end_asked else _up(server)
        case State.STOPPED | State.FAILED:
            reason = "its start was requested, and has not begun"
        case _:
            reason = "the last of its processes are not gone yet"

    return reason, "wait longer"


def _preparing(server: ServerFacts, timeout: float) -> tuple[str, str]:
    launch = None if server.run is None else server.run.launch
    needed = server.awaited if launch is None else ()
    if needed:
        names = ", ".join(other.name for other in needed)
        return _needs(needed, timeout), f"look at {names} first, or wait longer"

    steps = [text for text in ("" if launch is None else launch.editor, server.reporter.activity) if text]
    doing = f"it is being prepared by {': '.join(steps)}" if launch is not None and launch.editor else ""
    doing = doing or f"it is being prepared{''.join(f': {text}' for text in steps)}"
    return doing, _longer(timeout, "prepare_timeout", server.spec.prepare_timeout)


def _needs(needed: Iterable[ServerFacts], timeout: float) -> str:
    each = (f"{other.name}, which is {other.state.value} ({_so_far(other, timeout)[0]})" for other in needed)
    return f"it waits for {'; and for '.join(each)}"


def _waiting(server: ServerFacts, run: Run, timeout: float) -> tuple[str, str]:
    cause = _known_cause(run)
    reason = cause.message if cause is not None else f"{_up(server)}; {_health(run)}".removesuffix("; ")
    reason += f"; it last reported: {server.reporter.activity}" if server.reporter.activity else ""
    longer = _longer(timeout, "startup_timeout", run.spec.startup_timeout)
    hint = _hints(run) if cause is None else cause.context.hint
    if not hint or timeout >= run.spec.startup_timeout:
        return reason, hint or longer
    return reason, f"{longer}, or {hint}"


def _up(server: ServerFacts) -> str:
    where = "it has no port" if server.url is None else f"at {server.url}"
    return f"its process is up (pid {server.pid}, {where})"


def _longer(timeout: float, option: str, limit: float) -> str:
    return f"wait longer ({option} is {limit:g} s)" if timeout < limit else f"wait longer, and raise {option}"


def _backing_off(crash: CrashRecord) -> tuple[str, str]:
    left = 0.0 if crash.next_try is None else (crash.next_try - datetime.now(UTC)).total_seconds()
    when = f"in {left:.1f} s" if left > 0 else "now"
    more = int(crash.first_start)  # the first of them was no retry
    used = f"{crash.restarts_used + more} of {crash.restarts_allowed + more}"
    return f"the last attempt failed: {crash.reason}; the next one ({used}) begins {when}", crash.hint


def _earlier(server: ServerFacts, reason: str) -> str:
    """How the try before this one failed, where there was one."""
    crash = server.last_failure
    if crash is None or server.state not in {State.STARTING, State.WAITING_READY}:
        return ""
    # The record is masked: only what is masked too can be compared with it.
    same = crash.reason in server.reporter.masker.text(reason)
    return (
        "; the previous attempt failed the same way"
        if same
        else f"; the previous attempt failed: {crash.reason}"
    )


def _last_lines(server: ServerFacts) -> tuple[str, str]:
    """The last output of this run, else of the one before."""
    tails = ("", "") if server.run is None else server.run.tails()
    crash = server.last_failure
    return tails if any(tails) or crash is None else (crash.stdout, crash.stderr)
