"""Why no endpoint was found: errors that agree with what was seen."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from hostler.errors import PortInUse, PortParsingFailed, ServerError, StartupTimeout
from hostler.events.messages import found_by
from hostler.model.spec import ServerSpec
from hostler.model.values import Endpoint
from hostler.process.net.ownership import Listener, ListenerKind


def explain_missing(
    spec: ServerSpec,
    place: Endpoint | None,
    source: str,
    seen: Listener | None,
    look: Callable[[], Sequence[Endpoint]],
) -> ServerError:
    """The error for the place that `source` announced (None: nobody did), and for the listener seen there.

    `look` gives the sockets that the server's processes listen at.
    """
    if place is None:
        return _never_announced(spec, look())
    if seen is not None and seen.kind is ListenerKind.FOREIGN:
        return PortInUse(
            f"port {place.port} at {place.host} belongs to another process: {seen.who}",
            server=spec.name,
            hint="stop that process, or set port = 0 for a free port",
            details={"port": place.port, "pid": seen.pid, "name": seen.name, "uid": seen.uid},
        )
    if seen is not None and seen.kind is ListenerKind.UNKNOWN:
        return StartupTimeout(
            f"cannot tell which process listens at {place.url} (another user or namespace)",
            server=spec.name,
            hint='set identity = "check" if this is expected: now it is "require"',
            details={"url": place.url, "source": source},
        )

    return _not_there(spec, place, source, look())


def _not_there(spec: ServerSpec, place: Endpoint, source: str, sockets: Sequence[Endpoint]) -> StartupTimeout:
    hint = "raise startup_timeout if it needs longer, or name the right line with regex-port"

    if sockets:
        port = f"set port = {sockets[0].port} if you want this port, or " if len(sockets) == 1 else ""
        hint = f"it listens at {_listed(sockets)}: {port}name the right line with regex-port"

    return StartupTimeout(
        f"nothing of this server listens at {place.url} ({found_by(source)})",
        server=spec.name,
        hint=hint,
        details={"url": place.url, "source": source},
    )


def _never_announced(spec: ServerSpec, sockets: Sequence[Endpoint]) -> PortParsingFailed:
    hint = "name its line with regex-port = { pattern = ... }, or set port = false if it has none"
    if len(sockets) == 1:
        said = f"it listens at {_listed(sockets)} without announcing it"
        hint = f"{said}: set that port, or port_from_socket = true; or {hint}"
    elif sockets:
        said = f"it listens at {_listed(sockets)} without announcing one of them"
        hint = f"{said}: set one of these ports, or {hint}"
    return PortParsingFailed("the output never told where the server listens", server=spec.name, hint=hint)


def _listed(sockets: Sequence[Endpoint]) -> str:
    shown = [f"[{one.host}]:{one.port}" if ":" in one.host else f"{one.host}:{one.port}" for one in sockets]
    return ", ".join(shown[:4]) + (" ..." if len(shown) > 4 else "")
