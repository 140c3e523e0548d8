"""The fake server as an argv."""

from __future__ import annotations

import sys
from os.path import abspath, dirname, join


def fake_server_command(*switches: str) -> list[str]:
    """What to put into a server's `command`: a real program with these switches.

    Without `--port` it takes any port and says which; `"--port", "${server.port}"` has it do as it is told.
    `python -m hostler.testing.fake_server --help` lists the switches.
    """
    program = join(dirname(abspath(__file__)), "fake_server")  # noqa: PTH100, PTH118, PTH120 - pathlib is slow
    return [sys.executable, "-I", "-S", program, *switches]
