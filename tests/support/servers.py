"""The fake server as an argv: what tests put in a spec's command."""

import sys
from pathlib import Path

import hostler
from hostler.testing import fake_server_command

# What has to be seen in a sandbox, whose /tmp is its own: a checkout may well be in /tmp.
OF_PYTHON = [sys.prefix, sys.base_prefix, str(Path(hostler.__file__).parents[1])]


def fake_server(*switches: str) -> list[str]:
    """The argv of the fake server with these switches alone, to be started with or without hostler."""
    return [*fake_server_command("--port", "0")[:-2], *switches]
