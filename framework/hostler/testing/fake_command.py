"""The fake server as an argv."""

from __future__ import annotations

import sys
from os.path import abspath, dirname, join


def fake_server_command(*switches: str) -> list[str]:
    """What to put into a server's `command`: a real program that does what its switches say.

    It listens where hostler asks it to, unless the switches have a `--port`; without hostler give it one, 0
    for any. `python -m hostler.testing.fake_server --help` lists the switches.
    """
    program = join(dirname(abspath(__file__)), "fake_server")  # noqa: PTH100, PTH118, PTH120 - pathlib is slow
    place = () if "--port" in switches else ("--host", "${server.host}", "--port", "${server.port}")
    return [sys.executable, "-I", "-S", program, *place, *switches]
