"""What an error says: its server, what to do, and the last lines of output."""

from __future__ import annotations

import pytest
from hostler import ServerError

LINES = [f"line {number:02}" for number in range(12)]


@pytest.mark.requirement("R28", "R29")
def test_the_message_has_the_last_eight_lines_of_stderr() -> None:
    error = ServerError("it ended", hint="look", stdout="of stdout", stderr="\n".join(LINES))
    assert str(error.with_context(server="web")).splitlines() == [
        "web: it ended",
        "  what to do: look",
        "  last lines of stderr:",
        *(f"    {line}" for line in LINES[4:]),
    ]


def test_without_stderr_it_has_those_of_stdout() -> None:
    assert "  last lines of stdout:\n    word" in str(ServerError("it ended", stdout="word\n"))


def test_what_the_raiser_knew_is_kept() -> None:
    error = ServerError("it ended", server="web", stderr="own", details={"pid": 1})
    error.with_context(server="other", stderr="later", details={"pid": 2, "code": 3}, permanent=True)
    assert (error.context.server, error.context.stderr) == ("web", "own")
    assert error.context.details == {"pid": 1, "code": 3}
    assert error.permanent
