"""A fixed port that only connections of a former run still keep (TIME_WAIT): it needs nothing but time."""

from __future__ import annotations

from functools import partial

import anyio

from hostler.model.spec import ServerSpec
from hostler.process.system import Processes
from hostler.runtime.reporter import Reporter

_LONGEST_WAIT = 65.0  # TIME_WAIT takes a minute on Linux
_PAUSE = 0.25


async def wait_for_port(spec: ServerSpec, processes: Processes, reporter: Reporter, *, reuse: bool) -> None:
    """Wait until connections of a former run have given the port free, for 65 s at most.

    With `reuse`, the server is believed to bind the port in spite of them (SO_REUSEADDR).
    """
    host, port = spec.host, spec.port
    if not port or not 1 <= port <= 65535:
        return

    blocked = partial(processes.needs_only_time, host, port, reuse=reuse)
    if not blocked():
        return

    text = f"port {port} on {host} is still held by connections of an earlier run (TIME_WAIT)"
    text += f"; waiting for it, up to {_LONGEST_WAIT:g} s"
    reporter.note_activity(text)
    reporter.notice("port_not_free_yet", text, details={"host": host, "port": port})

    with anyio.move_on_after(_LONGEST_WAIT):
        while blocked():  # noqa: ASYNC110 - nobody tells when the system forgets a connection
            await anyio.sleep(_PAUSE)
