"""For tests of plugins and with servers: a contract, real servers for a test or a session, simulated ones.

Simulated time and processes (`run_virtually`, `SimulatedHost`) run thousands of lifecycles in seconds, each
repeatable, for tests where real children would be too slow or could not be made to fail at the right
moment. What real processes, sockets and disks do, only real ones show.
"""

from typing import TYPE_CHECKING

from hostler.imports.lazy_exports import lazy_exports

if TYPE_CHECKING:
    from hostler.testing.conformance import assert_plugin_contract as assert_plugin_contract
    from hostler.testing.fake_command import fake_server_command as fake_server_command
    from hostler.testing.fake_context import (
        FakeServerContext as FakeServerContext,
        RecordedNotice as RecordedNotice,
        StandIn as StandIn,
        Told as Told,
    )
    from hostler.testing.fake_listener_context import FakeListenerContext as FakeListenerContext
    from hostler.testing.servers import Servers as Servers
    from hostler.testing.session_servers import hostler_servers as hostler_servers
    from hostler.testing.simulation.child import FakeChild as FakeChild
    from hostler.testing.simulation.virtual_loop import (
        Stalled as Stalled,
        VirtualLoop as VirtualLoop,
        run_virtually as run_virtually,
        settle as settle,
    )
    from hostler.testing.simulation.host import SimulatedHost as SimulatedHost, World as World
    from hostler.testing.simulation.virtual_clock import VirtualClock as VirtualClock

__all__, __getattr__, __dir__ = lazy_exports(
    __name__,
    {
        "conformance": "assert_plugin_contract",
        "fake_command": "fake_server_command",
        "fake_context": "FakeServerContext RecordedNotice StandIn Told",
        "fake_listener_context": "FakeListenerContext",
        "servers": "Servers",
        "session_servers": "hostler_servers",
        "simulation.child": "FakeChild",
        "simulation.virtual_loop": "Stalled VirtualLoop run_virtually settle",
        "simulation.host": "SimulatedHost World",
        "simulation.virtual_clock": "VirtualClock",
    },
)
