"""Time and processes that are made up: thousands of lives of a server in seconds, each the same again.

For tests of plugins and of the engine where real children would be too slow or could not be made to do
what is wanted at the right moment. What real processes, sockets and disks do, only real ones show.
"""

from hostler.testing.child import FakeChild
from hostler.testing.clock import Stalled, VirtualLoop, run_virtually, settle
from hostler.testing.world import World

__all__ = ["FakeChild", "Stalled", "VirtualLoop", "World", "run_virtually", "settle"]
