"""What the tests of faults share: a fake server that has a secret, and how its life went."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

import anyio
import pytest
from cli_project import Project, five_plugins
from hostler import Event, Notice, PluginSpec, ServerError, Supervisor

NAME, SECRET = "FAULT_API_KEY", "sk-0f1e2d3c4b5a6978"
ONCE = {"policy": "never", "start_retries": 0}
"""No restart and no second try."""

E = TypeVar("E", bound=ServerError)


def configure(
    world: Project, *switches: str, plugins: Mapping[str, object] | None = None, **keys: object
) -> Path:
    """The configuration of a fake server that prints its secret, kept by the five bundled plugins."""
    return world.configure(fake=server_table(world, *switches, plugins=plugins, **keys))


def server_table(
    world: Project, *switches: str, plugins: Mapping[str, object] | None = None, **keys: object
) -> dict[str, object]:
    """The same as a table, for a configuration with several."""
    world.environ[NAME] = SECRET
    given: dict[str, Any] = {"env": {NAME: f"${{{NAME}}}"}, **keys}
    kept = five_plugins(env_sanitizer={"allow": [NAME]}, **(plugins or {}))
    return world.fake_table("--print-env", NAME, *switches, plugins=kept, **given)


def supervising(
    world: Project, file: Path, events: list[Event] | None = None, **plugins: object
) -> Supervisor:
    """The supervisor of a configuration, with further plugins as ready-made objects."""
    loaded = world.load(file)
    more = tuple(PluginSpec(name, instance=plugin) for name, plugin in plugins.items())
    servers = {name: replace(spec, plugins=(*spec.plugins, *more)) for name, spec in loaded.servers.items()}
    supervisor = Supervisor(
        replace(loaded, servers=servers), directories=world.directories, environ=world.environ
    )
    supervisor.listen((events if events is not None else []).append)
    return supervisor


async def failure_of(
    world: Project, file: Path, kind: type[E], events: list[Event] | None = None, **plugins: object
) -> E:
    """Start the server and return the error with which it gives up: it says to whom, and what to do."""
    with anyio.fail_after(20):
        async with supervising(world, file, events, **plugins) as supervisor:
            with pytest.raises(kind) as caught:
                await supervisor["fake"].wait_ready()

    error = caught.value
    assert type(error) is kind
    assert error.context.server == "fake"
    assert error.context.hint
    return error


def notices(events: list[Event], topic: str) -> list[str]:
    """What was told about a topic."""
    return [event.text for event in events if isinstance(event, Notice) and event.topic == topic]


@dataclass
class Mounts:
    """Real disks in place of folders, until the end of the test."""

    _undo: ExitStack = field(default_factory=ExitStack)

    def small(self, folder: Path, size: str) -> Path:
        """An empty disk of so many bytes."""
        folder.mkdir(parents=True, exist_ok=True)
        self._mount(folder, "-t", "tmpfs", "-o", f"size={size},mode=700", "none")
        return folder

    def read_only(self, folder: Path) -> Path:
        """The folder as it is, but nobody can write to it by this path."""
        folder.mkdir(parents=True, exist_ok=True)
        self._mount(folder, "--bind", str(folder))
        subprocess.run(["mount", "-o", "remount,bind,ro", str(folder)], check=True)
        return folder

    def empty_read_only(self, folder: Path) -> None:
        """An empty disk that nobody can write to."""
        self._mount(folder, "-t", "tmpfs", "-o", "ro", "none")

    def freezable(self, folder: Path, image: Path) -> Path:
        """An empty disk that is made in the file `image`, for `frozen`."""
        folder.mkdir(parents=True, exist_ok=True)
        image.write_bytes(bytes(8 << 20))

        mkfs = shutil.which("mkfs.ext4", path="/usr/sbin:/sbin") or pytest.skip("mkfs.ext4 is not installed")
        if subprocess.run([mkfs, "-q", str(image)], capture_output=True, check=False).returncode:
            pytest.skip("no disk can be made here")
        self._mount(folder, "-o", "loop", str(image))
        return folder

    def unmount(self) -> None:
        """Take them all away, the last one first."""
        self._undo.close()

    def _mount(self, folder: Path, *words: str) -> None:
        done = subprocess.run(["mount", *words, str(folder)], capture_output=True, check=False)
        if done.returncode:
            pytest.skip(f"a disk cannot be mounted here: {done.stderr.decode().strip()}")
        self._undo.callback(subprocess.run, ["umount", "--lazy", str(folder)], check=True)


@contextmanager
def frozen(disk: Path) -> Iterator[None]:
    """All that would change the disk hangs in the kernel, as on a network disk whose server is gone."""
    subprocess.run(["fsfreeze", "--freeze", str(disk)], check=True)
    try:
        yield
    finally:
        subprocess.run(["fsfreeze", "--unfreeze", str(disk)], check=True)
