"""The fake server as an argv: what tests put in a spec's command."""

import sys
from pathlib import Path

FAKE_SERVER = Path(__file__).with_name("fake_server.py")


def fake_server(*switches: str) -> list[str]:
    """The argv that starts tests/fake_server.py; `-I -S` halves its start-up time."""
    return [sys.executable, "-I", "-S", str(FAKE_SERVER), *switches]
