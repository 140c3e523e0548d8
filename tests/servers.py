"""The fake server as an argv: what tests put in a spec's command."""

from hostler.testing import fake_server_command


def fake_server(*switches: str) -> list[str]:
    """The argv of the fake server with these switches alone, to be started with or without hostler."""
    return [*fake_server_command("--port", "0")[:-2], *switches]
