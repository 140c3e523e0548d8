"""A plugin that holds a server up in one state."""

from __future__ import annotations

from dataclasses import dataclass, field

import anyio
from hostler import hookimpl


@dataclass(eq=False)
class HeldHook:
    """Holds a server up in one hook, until it is released."""

    hook: str = ""
    release: anyio.Event = field(default_factory=anyio.Event)

    @hookimpl
    async def pre_spawn(self) -> None:
        await self._hold("pre_spawn")

    @hookimpl
    async def on_crash(self) -> None:
        await self._hold("on_crash")

    @hookimpl
    async def on_shutdown(self) -> None:
        await self._hold("on_shutdown")

    async def _hold(self, hook: str) -> None:
        if hook == self.hook:
            await self.release.wait()
