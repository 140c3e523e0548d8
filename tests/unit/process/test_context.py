"""What the servers of one supervisor know of one another when they start."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import anyio
from hostler import Directories, Launch, PluginSpec, ServerView, Supervisor, hookimpl
from specs import MakeSpec


@dataclass(eq=False)
class WritesInItsOwnFolder:
    """Adds a folder for each server, and notes what each start was told of the others."""

    told: list[tuple[str, list[Path]]] = field(default_factory=list)

    @hookimpl
    async def pre_spawn(self, server: ServerView, launch: Launch) -> None:
        self.told.append((server.name, list(launch.outputs)))
        launch.outputs.append(Path("/logs", server.name))


async def test_a_start_is_told_the_ports_and_output_folders_of_the_servers_that_run(
    make_spec: MakeSpec, directories: Directories
) -> None:
    writes = WritesInItsOwnFolder()
    plugins = (PluginSpec("writes", instance=writes),)
    specs = [make_spec(name=name, plugins=plugins, autostart=False, port=0) for name in ("a", "b", "c")]

    async with Supervisor(specs, directories=directories) as supervisor:
        claims = supervisor["a"]._engine.context.claims
        with anyio.fail_after(20):
            for name in ("a", "b", "c"):
                await supervisor[name].start()
            ports = claims.ports()
            await supervisor["b"].stop()
            left = claims.ports()
            await supervisor["a"].restart()

    assert writes.told == [
        ("a", []),
        ("b", [Path("/logs/a")]),
        ("c", [Path("/logs/a"), Path("/logs/b")]),
        ("a", [Path("/logs/c")]),
    ]
    assert (len(ports), len(left)) == (3, 2)
    assert left < ports
    assert claims.ports() == set()
