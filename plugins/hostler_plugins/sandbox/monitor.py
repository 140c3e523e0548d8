"""Restarts the server when a protected file was replaced from outside, which removes its mount."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

import anyio
from hostler import ServerView

from hostler_plugins.sandbox.box import Box
from hostler_plugins.sandbox.hints import names_of
from hostler_plugins.sandbox.mounts import lost
from hostler_plugins.sandbox.paths import Access

_FIRST_PAUSE, _LAST_PAUSE = 0.01, 1.0
_PATIENCE = 2.0  # for who removes a file to make it anew


async def watch(server: ServerView, box: Box) -> None:
    """Follow the mounts of one run to its end; have it restarted when what hostler reads has lost its own."""
    places, told = await box.protected(), set[Path]()
    pause = _FIRST_PAUSE

    while (mounts := box.find_mounts()) is None:  # nobody tells when a sandbox has been built
        await anyio.sleep(pause)
        pause = min(2 * pause, _LAST_PAUSE)

    while True:
        await mounts.changed()
        gone = {path: how for path, how in lost(places, mounts).items() if path not in told}
        seen = [path for path, access in gone.items() if access is Access.HIDDEN]
        written = [path for path in gone if path not in seen]
        told.update(gone)
        if seen:
            _tell_seen(server, seen)
        if written:
            await _replaced(server, written)


def _tell_seen(server: ServerView, paths: list[Path]) -> None:
    text = f"{names_of(paths)}: replaced from outside, so the server can see it until its next start"
    server.notice("sandbox_uncovered", text, level="warning", paths=[str(path) for path in paths])


async def _replaced(server: ServerView, paths: list[Path]) -> None:
    with anyio.move_on_after(_PATIENCE):
        while not _there(paths):  # noqa: ASYNC110 - one that is missing cannot be protected
            await anyio.sleep(0.05)

    text = (
        f"{names_of(paths)}: replaced from outside, which takes the protection in the sandbox away, so the "
        "server is restarted; it could write there for a moment: look again before hostler reads or runs it"
    )
    server.notice("sandbox_replaced", text, level="warning", paths=[str(path) for path in paths])
    server.ask_restart(f"{names_of(paths)} was replaced")


def _there(paths: Iterable[Path]) -> bool:
    return all(os.path.lexists(path) for path in paths)
