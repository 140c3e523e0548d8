"""Who may connect to the control socket."""

from __future__ import annotations

import asyncio
import os
from typing import cast

from hostler.control.access import UnixAccess


class PipeTransport:
    """In place of a client that has gone, of which macOS tells nothing: neither does any system of a pipe."""

    def __init__(self, fd: int) -> None:
        self._fd = fd

    def get_extra_info(self, name: str) -> PipeTransport:
        return self

    def fileno(self) -> int:
        return self._fd


def test_a_client_of_whom_the_system_tells_nothing_is_refused() -> None:
    reading, writing = os.pipe()
    try:
        assert not UnixAccess().accepts(cast("asyncio.Transport", PipeTransport(reading)))
        os.fstat(reading)  # who looks at it does not close it
    finally:
        os.close(reading)
        os.close(writing)
