"""For tests of plugins: a contract, real servers that are kept for a test, and lives that are made up.

Time and processes that are made up (`World`, `run_virtually`) give thousands of lives of a server in
seconds, each the same again, for tests where real children would be too slow or could not be made to do
what is wanted at the right moment. What real processes, sockets and disks do, only real ones show.
Names are imported when they are first used: pytest loads our plugin in every project's tests.
"""

from typing import TYPE_CHECKING

from hostler.lazy_exports import lazy_exports

if TYPE_CHECKING:
    from hostler.testing.conformance import assert_plugin_contract as assert_plugin_contract
    from hostler.testing.fake_command import fake_server_command as fake_server_command
    from hostler.testing.fake_context import StandIn as StandIn, Told as Told
    from hostler.testing.servers import Servers as Servers
    from hostler.testing.simulation.child import FakeChild as FakeChild
    from hostler.testing.simulation.clock import (
        Stalled as Stalled,
        VirtualLoop as VirtualLoop,
        run_virtually as run_virtually,
        settle as settle,
    )
    from hostler.testing.simulation.host import World as World
    from hostler.testing.simulation.virtual_clock import VirtualClock as VirtualClock

__all__, __getattr__, __dir__ = lazy_exports(
    __name__,
    {
        "conformance": "assert_plugin_contract",
        "fake_command": "fake_server_command",
        "fake_context": "StandIn Told",
        "servers": "Servers",
        "simulation.child": "FakeChild",
        "simulation.clock": "Stalled VirtualLoop run_virtually settle",
        "simulation.host": "World",
        "simulation.virtual_clock": "VirtualClock",
    },
)
