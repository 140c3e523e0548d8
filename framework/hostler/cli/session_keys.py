"""Which configurations keep the keys of our login session from all that is started."""

from __future__ import annotations

from hostler.files.session_keyring import leave_session_keys
from hostler.model.spec import Configuration

_LESS = {"privileges", "sandbox"}


def keep_session_keys(configuration: Configuration) -> None:
    """Leave the session keyring for good where a server has less rights than we; on the event loop's thread.

    All that is started comes from this thread, and a keyring that was left cannot be joined again.
    """
    specs = configuration.servers.values()
    if any(spec.user or spec.group or _LESS & {plugin.name for plugin in spec.plugins} for spec in specs):
        leave_session_keys()
