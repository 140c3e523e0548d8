"""pytest-xprocess's public classes on top of `hostler.serve`, with log-ready and log-rotation."""

from __future__ import annotations

import re
import shutil
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Self

from hostler import (
    BlockingServer,
    Directories,
    PluginSpec,
    RestartMode,
    RestartPolicy,
    ServerSpec,
    State,
    serve,
)


class ProcessStarter:
    env: Any = None
    timeout = 120.0
    popen_kwargs: Any = {}  # noqa: RUF012 - as it is there
    max_read_lines = 50
    terminate_on_interrupt = False
    pattern: str | None = None
    args: Any = ()

    def __init__(self, control_dir: Any, process: Any) -> None:
        self.control_dir, self.process = control_dir, process

    def startup_check(self) -> bool:
        return True


class XProcessInfo:
    """A server that was started here. As hostler's end with their owner, there are no others."""

    def __init__(self, name: str, folder: Path) -> None:
        self.name, self.logpath = name, folder / "xprocess.log"
        self.pid: int | None = None
        self.context = ExitStack()
        self.server: BlockingServer | None = None

    def isrunning(self, ignore_zombies: bool = True) -> bool:
        over = {State.STOPPED, State.FAILED}
        return self.server is not None and self.server.state not in over

    def terminate(self, *, kill_proc_tree: bool = True, timeout: float = 20) -> int:
        if not self.pid or not self.isrunning():
            return 0
        assert self.server is not None
        self.server.stop()
        self.context.close()
        return 1


class XProcessResources:
    """What a start holds."""

    def __init__(self, info: XProcessInfo, terminate_on_interrupt: bool) -> None:
        self.info, self.popen = (info, terminate_on_interrupt), info.server

    def release(self) -> None:
        self.info[0].context.close()


class XProcess:
    def __init__(self, config: Any, rootdir: Any, log: Any = None, proc_wait_timeout: float = 60) -> None:
        self.config, self.rootdir, self.proc_wait_timeout = config, rootdir, proc_wait_timeout
        self.resources: list[XProcessResources] = []
        self._infos: dict[str, XProcessInfo] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._force_clean_up()

    def getinfo(self, name: str) -> XProcessInfo:
        folder = Path(str(self.rootdir)) / name
        folder.mkdir(exist_ok=True)
        return self._infos.setdefault(name, XProcessInfo(name, folder))

    def ensure(self, name: str, preparefunc: Any, restart: bool = False, persist_logs: bool = True) -> Any:
        info = self.getinfo(name)
        if restart or not info.isrunning():
            info.terminate()
            info.logpath.unlink(missing_ok=True)
            starter = preparefunc(info.logpath.parent, self)
            self._start(info, starter)
            try:
                self._wait(info, starter)
            except BaseException:
                info.terminate()
                raise

        return info.pid, info.logpath

    def _start(self, info: XProcessInfo, starter: ProcessStarter) -> None:
        plugins = [
            PluginSpec("env-sanitizer", {"allow": ["*"]}),
            PluginSpec("log-rotation", {"path": str(info.logpath)}),
        ]

        if starter.pattern is not None:
            plugins.append(PluginSpec("log-ready", {"pattern": starter.pattern}))

        spec = ServerSpec(
            name=info.name.replace("_", "-"),
            command=tuple(str(word) for word in starter.args),
            port=None,
            cwd=info.logpath.parent,
            env=starter.env or {},
            startup_timeout=starter.timeout,
            restart=RestartPolicy(RestartMode.NEVER, start_retries=0),
            plugins=tuple(plugins),
        )
        folder = Path(tempfile.mkdtemp(prefix="xprocess-"))
        info.context.callback(shutil.rmtree, folder, ignore_errors=True)
        directories = Directories(folder / "state", folder / "data", folder / "cache")
        info.server = info.context.enter_context(serve(spec, directories=directories))[spec.name]
        self.resources.append(XProcessResources(info, starter.terminate_on_interrupt))

        while info.server.pid is None and info.server.state != State.FAILED:
            time.sleep(0.01)

        info.pid = info.server.pid

    def _wait(self, info: XProcessInfo, starter: ProcessStarter) -> None:
        """Until it is ready and checks; RuntimeError where the first lines do not have the pattern."""
        assert info.server is not None
        end = time.monotonic() + starter.timeout

        while info.server.state != State.RUNNING:
            lines = info.logpath.read_text(errors="replace").splitlines() if info.logpath.exists() else []
            lines = [line for line in lines if line.strip()]
            first = lines[: starter.max_read_lines]
            if (
                starter.pattern
                and len(lines) > len(first)
                and not re.search(starter.pattern, "\n".join(first))
            ):
                raise RuntimeError(f"{starter.pattern} is not in the first {len(first)} lines")
            if time.monotonic() > end or not info.isrunning():
                raise TimeoutError(str(info.server.error))
            time.sleep(0.05)

        while not starter.startup_check():
            if time.monotonic() > end:
                raise TimeoutError("the check does not come true")
            time.sleep(0.1)

    def _xkill(self, tw: Any) -> int:
        return 0

    def _xshow(self, tw: Any) -> int:
        return 0

    def _force_clean_up(self) -> None:
        for resource in self.resources:
            resource.release()
