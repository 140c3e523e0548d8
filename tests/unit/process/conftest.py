"""Real children for the tests of hostler.process; whatever they start is gone when a test ends."""

import os
import select
import signal
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from tempfile import gettempdir
from typing import Any

import anyio
import pytest
from hostler.model.choices import OutputMode
from hostler.model.launch import Launch
from hostler.process.spawn.exits import Process
from hostler.process.spawn.spawn import spawn
from hostler.process.tree.terminate import kill_tree_now
from run_marks import mark

DEADLINE = 10.0


@pytest.fixture
def open_folder(tmp_path: Path) -> Path:
    """A folder that every user may enter, with all that pytest made above it."""
    for folder in (tmp_path, *tmp_path.parents):
        if folder.is_relative_to(gettempdir()) and folder != Path(gettempdir()):
            folder.chmod(0o755)
    return tmp_path


@dataclass(frozen=True)
class Child:
    process: Process
    out: int

    @property
    def pid(self) -> int:
        return self.process.pid

    async def line(self) -> str:
        """The next line of its stdout, "" at the end."""
        data = b""
        with anyio.fail_after(DEADLINE):
            while not data.endswith(b"\n"):
                await anyio.wait_readable(self.out)
                if not (more := os.read(self.out, 1)):
                    break
                data += more
        return data.decode().rstrip("\n")

    async def text(self) -> str:
        """Its whole stdout, once all who hold it have closed it."""
        data = b""
        with anyio.fail_after(DEADLINE):
            await anyio.wait_readable(self.out)
            while more := os.read(self.out, 65536):
                data += more
                await anyio.wait_readable(self.out)
        return data.decode()


@pytest.fixture
def launch(tmp_path: Path) -> Callable[..., Launch]:
    def make(*argv: str, **options: Any) -> Launch:
        values: dict[str, Any] = {
            "server": "web",
            "generation": 1,
            "argv": list(argv),
            "cwd": tmp_path,
            "env": {"PATH": os.environ["PATH"]},
            "host": "127.0.0.1",
            "port": None,
            "data_dir": tmp_path,
            "cache_dir": tmp_path,
            "stderr": OutputMode.INHERIT,
        }
        return Launch(**(values | options))

    return make


@pytest.fixture
def start(launch: Callable[..., Launch]) -> Iterator[Callable[..., Child]]:
    children: list[Child] = []
    numbers = count(1)

    def start_one(*argv: str, run_id: str | None = None, **options: Any) -> Child:
        out, write = os.pipe()

        try:
            name = mark(run_id or f"test-{next(numbers)}")  # whoever has it is ended
            process = spawn(launch(*argv, **options), run_id=name, stdout_fd=write, stderr_fd=None)
        except BaseException:
            os.close(out)
            raise
        finally:
            os.close(write)

        children.append(Child(process, out))
        return children[-1]

    yield start_one

    for child in children:
        os.close(child.out)
        assert kill_tree_now(child.process) == ()


@pytest.fixture
def gone() -> Callable[[int], bool]:
    """Waits until a process has ended, whoever its parent is."""

    def wait(pid: int, seconds: float = DEADLINE) -> bool:
        try:
            fd = os.pidfd_open(pid)
        except ProcessLookupError:
            return True
        try:
            return bool(select.select([fd], [], [], seconds)[0])
        finally:
            os.close(fd)

    return wait


@pytest.fixture
def stray() -> Iterator[Callable[[int], int]]:
    """Remembers pids that hostler is not to touch, and kills them at the end."""
    pids: list[int] = []

    def remember(pid: int) -> int:
        pids.append(pid)
        return pid

    yield remember
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
