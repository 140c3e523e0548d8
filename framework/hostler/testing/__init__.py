"""For tests of plugins: a contract, real servers that are kept for a test, and lives that are made up.

Time and processes that are made up (`World`, `run_virtually`) give thousands of lives of a server in
seconds, each the same again, for tests where real children would be too slow or could not be made to do
what is wanted at the right moment. What real processes, sockets and disks do, only real ones show.
Names are imported when they are first used: pytest loads our plugin in every project's tests.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hostler.testing.child import FakeChild
    from hostler.testing.clock import Stalled, VirtualLoop, run_virtually, settle
    from hostler.testing.commands import fake_server_command
    from hostler.testing.contract import assert_plugin_contract
    from hostler.testing.servers import Servers
    from hostler.testing.stand_in import StandIn, Told
    from hostler.testing.virtual import VirtualClock
    from hostler.testing.world import World

__all__ = [
    "FakeChild",
    "Servers",
    "Stalled",
    "StandIn",
    "Told",
    "VirtualClock",
    "VirtualLoop",
    "World",
    "assert_plugin_contract",
    "fake_server_command",
    "run_virtually",
    "settle",
]

_WHERE = {
    "FakeChild": "hostler.testing.child",
    "Servers": "hostler.testing.servers",
    "Stalled": "hostler.testing.clock",
    "StandIn": "hostler.testing.stand_in",
    "Told": "hostler.testing.stand_in",
    "VirtualClock": "hostler.testing.virtual",
    "VirtualLoop": "hostler.testing.clock",
    "World": "hostler.testing.world",
    "assert_plugin_contract": "hostler.testing.contract",
    "fake_server_command": "hostler.testing.commands",
    "run_virtually": "hostler.testing.clock",
    "settle": "hostler.testing.clock",
}


def __getattr__(name: str) -> object:
    if name not in _WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

    return getattr(import_module(_WHERE[name]), name)
