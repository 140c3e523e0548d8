"""Time that jumps, for one test: what the fixture `virtual_clock` gives."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from hostler.concurrency.event_loop import loop_time
from hostler.model.spec import Configuration
from hostler.supervisor.handle import Server
from hostler.supervisor.supervisor import Supervisor
from hostler.testing.servers import Servers
from hostler.testing.simulation.child import FakeChild
from hostler.testing.simulation.host import SimulatedHost
from hostler.testing.simulation.virtual_loop import settle


def _come_up(child: FakeChild) -> None:
    child.announce()
    child.listen()


class VirtualClock(Servers):
    """The test runs on a loop whose time jumps to the next timer when nothing else is left to do.

    `await anyio.sleep(3600)` takes no time. Real children would lag behind, so those of `server` are
    simulated: they live in `world`, announce where they listen, and do what the test says.
    """

    def __init__(self, home: Path, base: Path) -> None:
        super().__init__(home, base)
        self.world = SimulatedHost()

    @property
    def now(self) -> float:
        """The virtual time in seconds; it has nothing to do with any clock."""
        return loop_time()

    async def settle(self) -> None:
        """Wait until nothing is left to do at this moment."""
        await settle()

    async def server(
        self,
        *,
        plugins: Mapping[str, object] | None = None,
        on_child: Callable[[FakeChild], None] = _come_up,
        timeout: float | None = 30.0,
        **keys: object,
    ) -> Server:
        """Start a server with simulated children: `on_child` says what each does; else as `__call__`."""
        self.world.on_each_child(on_child)
        return await self(("simulated",), plugins=plugins, timeout=timeout, **keys)  # type: ignore[arg-type]

    def _supervisor(self, configuration: Configuration) -> Supervisor:
        return self.world.supervisor(configuration, directories=self.directories, environ=self.environ)
