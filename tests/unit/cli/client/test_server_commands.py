"""Commands to servers: how long they may take."""

from __future__ import annotations

import pytest
from hostler.cli.client.commands import CLIENT_COMMANDS
from hostler.cli.client.server_commands import patience
from hostler.cli.command_line import read_call


@pytest.mark.parametrize(
    ("words", "within", "seconds"),
    [
        ([], 0.0, 300.0),
        ([], 600.0, 900.0),
        (["--timeout", "20s"], 600.0, 20.0),
        (["--timeout", "0"], 600.0, None),
    ],
)
def test_a_quiet_moment_has_its_own_time_unless_one_is_said_for_all(
    words: list[str], within: float, seconds: float | None
) -> None:
    assert patience(read_call(CLIENT_COMMANDS["restart"], words), within) == seconds
