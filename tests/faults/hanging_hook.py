"""A plugin that hangs in one hook: `{ use = "hanging_hook.py:HangingHook", hook = "on_ready" }`."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from hostler import Exit, hookimpl


@dataclass(eq=False)
class HangingHook:
    """Waits in the hook of this name for so many seconds, whatever hostler does meanwhile."""

    hook: str = ""
    seconds: float = 60.0

    @hookimpl
    async def pre_spawn(self) -> None:
        await self._hold("pre_spawn")

    @hookimpl
    async def on_ready(self) -> None:
        await self._hold("on_ready")

    @hookimpl
    async def on_crash(self, exit: Exit) -> None:
        await self._hold("on_crash")

    @hookimpl
    async def on_shutdown(self) -> None:
        await self._hold("on_shutdown")

    async def _hold(self, hook: str) -> None:
        if hook == self.hook:
            await asyncio.sleep(self.seconds)
