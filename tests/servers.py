"""The fake server as an argv: what tests put in a spec's command."""

from hostler.testing import fake_server_command as fake_server

__all__ = ["fake_server"]
