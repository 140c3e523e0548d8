"""Where a plugin is tried: private folders, launches, a view, and an address that nobody listens at."""

from __future__ import annotations

import inspect
import os
import shutil
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from hostler.model.launch import Launch
from hostler.model.spec import PluginSpec, ServerSpec
from hostler.model.states import State
from hostler.model.values import Endpoint, Exit, ExitCause
from hostler.process.net.ports import free_port
from hostler.process.spawn.environment import safe_base
from hostler.testing.fake_context import FakeServerContext

IMPOSSIBLE_PID = 2**22 + 1  # above all that a kernel gives out
_NAME = "stand-in"
SECRETS = "the secret "


class HarnessContext(FakeServerContext):
    """The context of one run, moved from state to state."""

    def enter(self, state: State, pid: int | None = None, endpoint: Endpoint | None = None) -> None:
        """Change what the plugin sees."""
        self.state, self.pid, self.endpoint = state, pid, endpoint


@dataclass(frozen=True, slots=True)
class ServerHarness:
    """One server without a process, in folders below `root`. `plugin` is the plugin's name there."""

    root: Path
    plugin: str
    port: int = field(default_factory=lambda: free_port("127.0.0.1"))

    @property
    def spec(self) -> ServerSpec:
        """What is configured of it."""
        return ServerSpec(
            name=_NAME, command=(_NAME,), cwd=self.root, port=self.port, plugins=(PluginSpec(self.plugin),)
        )

    @property
    def endpoint(self) -> Endpoint:
        """Where it would listen."""
        return Endpoint("127.0.0.1", self.port)

    def view(self, generation: int, facts: Mapping[str, object] | None = None) -> HarnessContext:
        """What the plugin sees in one run, before anything has happened."""
        return HarnessContext(
            _NAME,
            self.spec,
            State.STARTING,
            generation,
            facts={} if facts is None else facts,
            data_dir=self._folder("data"),
            cache_dir=self._folder("cache"),
            state_dir=self._folder("state"),
        )

    def launch(self, generation: int) -> Launch:
        """What pre_spawn is given in one run: equal each time but for the generation."""
        host_env = {**safe_base(os.environ), "HOME": str(self._folder("home"))}
        return Launch(
            server=_NAME,
            generation=generation,
            argv=[_NAME],
            cwd=self.root,
            env=safe_base(host_env),
            host="127.0.0.1",
            port=self.port,
            data_dir=self._folder("data"),
            cache_dir=self._folder("cache"),
            host_env=host_env,
        )

    def exit(self, generation: int) -> Exit:
        """How each run ends."""
        return Exit(ExitCause.EXITED, generation, code=1, pid=IMPOSSIBLE_PID, ready=True, uptime=1.0)

    def _folder(self, name: str) -> Path:
        folder = self.root / name
        folder.mkdir(mode=0o700, exist_ok=True)
        return folder


async def release(launch: Launch) -> None:
    """End a run as the engine does: sinks closed, clean-up last one first, temporary paths removed."""
    for sink in launch.sinks:
        sink.close()

    for cleanup in reversed(launch.cleanups):
        pending = cleanup()
        if inspect.isawaitable(pending):
            await pending

    for path in launch.temporary:
        with suppress(FileNotFoundError):
            shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()


def fault_of_sink(sink: object) -> str:
    """How a sink cannot be called, in words; "" for one that can."""
    for name, arguments in (("write", ("stdout", b"")), ("close", ())):
        method = getattr(sink, name, None)
        if not callable(method):
            return f"has no {name}"
        try:
            inspect.signature(method).bind(*arguments)
        except TypeError as error:
            return f"has a {name} that cannot be called: {error}"
        except ValueError:  # of C, and without a signature
            continue
    return ""


def outline(launch: Launch) -> Mapping[str, object]:
    """What must be the same in every run, whatever ports, passwords and temporary paths are in it."""
    return {
        "the number of words in argv": len(launch.argv),
        "the number of words in wrapper": len(launch.wrapper),
        "the names in env": sorted(launch.env),
        "the names of secrets": sorted(launch.secrets),
        "the names in allowed": sorted(launch.allowed),
        "the facts": sorted(launch.facts),
        "the limits": dict(launch.limits),
        "the sinks": [type(sink).__name__ for sink in launch.sinks],
        "the number of deferred clean-ups": len(launch.cleanups),
        "the number of temporary paths": len(launch.temporary),
        "user and group": (launch.user, launch.group),
    }


def texts(launch: Launch) -> dict[str, str]:
    """Each text of a launch by its place. Temporary paths are left out: their names are by chance."""
    return {
        **{f"word {number} of argv": word for number, word in enumerate(launch.argv)},
        **{f"word {number} of wrapper": word for number, word in enumerate(launch.wrapper)},
        **{f"the variable {name}": text for name, text in launch.env.items() if name not in launch.secrets},
        **{f"{SECRETS}{name}": text for name, text in launch.secrets.items()},
        "cwd": str(launch.cwd),
    }
