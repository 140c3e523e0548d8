"""Who set each variable of a child: noted by looking before and after each plugin."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from pathlib import Path

from hostler import (
    Directories,
    EnvFile,
    Launch,
    PluginSpec,
    ServerSpec,
    ServerView,
    Spawned,
    Supervisor,
    hookimpl,
)
from hostler.records.status_store import StatusStore
from specs import QUICK


@dataclass(eq=False)
class Publishes:
    """Tells whoever needs its server where something is."""

    @hookimpl
    async def pre_spawn(self, server: ServerView) -> None:
        server.publish("PUBLISHED", "by db")
        server.publish("OVERRULED", "by db")


@dataclass(eq=False)
class Edits:
    """Sets, changes, takes away, leaves as it was."""

    @hookimpl
    async def pre_spawn(self, launch: Launch) -> None:
        launch.env = {name: value for name, value in launch.env.items() if name != "GONE"}
        launch.env |= {"CHANGED": "2", "SAME": "1", "NEW": "1", "BACK": "1"}


@dataclass(eq=False)
class TakesBack:
    """Undoes some of it."""

    @hookimpl
    async def pre_spawn(self, launch: Launch) -> None:
        launch.env["GONE"] = "here again"
        del launch.env["BACK"]


def staying(name: str, *plugins: PluginSpec, **fields: object) -> ServerSpec:
    """A server without a port that waits to be stopped."""
    command = (sys.executable, "-c", "import time; time.sleep(60)")
    given: dict[str, object] = {"command": command, "port": None, "restart": QUICK, "plugins": plugins}
    return ServerSpec(name=name, **(given | fields))  # type: ignore[arg-type]


async def test_each_variable_is_told_with_who_set_it_last(directories: Directories) -> None:
    env = {"CHANGED": "1", "SAME": "1", "GONE": "1", "OVERRULED": "by env", "KEPT_AWAY": "1"}
    web = staying(
        "web",
        PluginSpec("edits", instance=Edits()),
        PluginSpec("takes-back", instance=TakesBack()),
        PluginSpec("env-sanitizer", {"deny": ["KEPT_*"]}),
        env=env,
        needs=("db",),
    )
    db = staying("db", PluginSpec("publishes", instance=Publishes()))
    spawned: dict[str, Spawned] = {}

    async with Supervisor(
        [web, db],
        directories=directories,
        namespace="origins",
        environ={"PATH": os.environ["PATH"], "HOME": "/home"},
    ) as supervisor:
        supervisor.listen(
            lambda event: spawned.update({event.server: event}) if isinstance(event, Spawned) else None
        )
        await supervisor.wait_ready(timeout=20)

    assert spawned["web"].origins == {
        "CHANGED": "plugin edits",
        "GONE": "plugin takes-back",
        "HOME": "hostler's own environment",
        "HOSTLER_RUN_ID": "hostler itself",
        "NEW": "plugin edits",
        "OVERRULED": "env",
        "PATH": "hostler's own environment",
        "PUBLISHED": "needed server db",
        "SAME": "env",
    }
    assert spawned["web"].removed == {"BACK": "plugin takes-back", "KEPT_AWAY": "plugin env-sanitizer"}
    assert set(spawned["web"].origins) - {"HOSTLER_RUN_ID"} == set(spawned["web"].env)

    status = StatusStore(directories.data_for("origins")).read("web")
    assert status is not None
    assert status.variables is not None
    assert status.variables.origins == spawned["web"].origins
    assert status.variables.removed == spawned["web"].removed
    assert status.variables.generation == 1


def write(file: Path, text: str) -> Path:
    file.touch(mode=0o600)
    file.write_text(text)
    return file


@dataclass(eq=False)
class Asks:
    """Remembers what was configured when its turn came."""

    seen: frozenset[str] = frozenset()

    @hookimpl
    async def pre_spawn(self, launch: Launch) -> None:
        self.seen = launch.configured


async def test_a_plugin_can_tell_what_the_configuration_sets_itself(
    directories: Directories, tmp_path: Path
) -> None:
    file = write(tmp_path / ".env", "LISTED=1\nNEW=1\n")
    asks = Asks()
    plugins = (PluginSpec("edits", instance=Edits()), PluginSpec("asks", instance=asks))
    web = staying("web", *plugins, env={"MINE": "1"}, env_file=(EnvFile(file),))
    async with Supervisor(web, directories=directories, environ={"PATH": os.environ["PATH"]}) as supervisor:
        await supervisor["web"].wait_ready(20)
    assert asks.seen == {"LISTED", "MINE", "NEW"}  # the plugin before it set NEW to what it was


@dataclass(eq=False)
class Found:
    """Finds a secret in what is said of it, as one does whose name comes from a configuration."""

    @hookimpl
    async def pre_spawn(self, server: ServerView, launch: Launch) -> None:
        server.redact("hunter2-hunter2")
        launch.env["NEW"] = "1"
        del launch.env["MINE"]


async def test_who_set_or_took_a_variable_is_told_without_a_secret(directories: Directories) -> None:
    plugin = PluginSpec("found-hunter2-hunter2", instance=Found())
    web = staying("web", plugin, env={"MINE": "1"})
    spawned: list[Spawned] = []
    async with Supervisor(web, directories=directories) as supervisor:
        supervisor.listen(lambda event: spawned.append(event) if isinstance(event, Spawned) else None)
        await supervisor["web"].wait_ready(20)
    assert spawned[0].origins["NEW"] == spawned[0].removed["MINE"] == "plugin found-********"
