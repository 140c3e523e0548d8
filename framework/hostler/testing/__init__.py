"""For tests of plugins: a contract, real servers that are kept for a test, and lives that are made up.

Time and processes that are made up (`World`, `run_virtually`) give thousands of lives of a server in
seconds, each the same again, for tests where real children would be too slow or could not be made to do
what is wanted at the right moment. What real processes, sockets and disks do, only real ones show.
Names are imported when they are first used: pytest loads our plugin in every project's tests.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hostler.testing.conformance import assert_plugin_contract
    from hostler.testing.fake_command import fake_server_command
    from hostler.testing.fake_context import StandIn, Told
    from hostler.testing.servers import Servers
    from hostler.testing.simulation.child import FakeChild
    from hostler.testing.simulation.clock import Stalled, VirtualLoop, run_virtually, settle
    from hostler.testing.simulation.host import World
    from hostler.testing.simulation.virtual_clock import VirtualClock

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
    "FakeChild": "hostler.testing.simulation.child",
    "Servers": "hostler.testing.servers",
    "Stalled": "hostler.testing.simulation.clock",
    "StandIn": "hostler.testing.fake_context",
    "Told": "hostler.testing.fake_context",
    "VirtualClock": "hostler.testing.simulation.virtual_clock",
    "VirtualLoop": "hostler.testing.simulation.clock",
    "World": "hostler.testing.simulation.host",
    "assert_plugin_contract": "hostler.testing.conformance",
    "fake_server_command": "hostler.testing.fake_command",
    "run_virtually": "hostler.testing.simulation.clock",
    "settle": "hostler.testing.simulation.clock",
}


def __getattr__(name: str) -> object:
    if name not in _WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

    return getattr(import_module(_WHERE[name]), name)
