from collections.abc import Callable
from pathlib import Path
from textwrap import dedent

import pytest

PLUGIN = """
from dataclasses import dataclass, field
from pathlib import Path

from hostler import Duration, Size, hookimpl, option

@dataclass(eq=False)
class Launcher:
    pattern: str = option("", "What to look for")
    interval: Duration = option(Duration(1), "How often")
    size: Size = option(Size(1024), "How large")
    count: int = option(1, "How many")
    headers: dict[str, str] = option({}, "What to send")
    words: list[str] = option([], "Some words")
    source: str = option("", "A folder")

    def __post_init__(self):
        if self.pattern.startswith("("):
            raise ValueError(f"pattern: {self.pattern} is not closed")

    @hookimpl
    async def pre_spawn(self, launch):
        launch.argv = ["true"]

@dataclass(eq=False)
class Watcher:
    @hookimpl
    async def on_ready(self):
        pass
"""

Write = Callable[[str, str], Path]


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Write:
    """Write a file below the current directory, which is an empty one, and give its relative path."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "plugin.py").write_text(PLUGIN)

    def write_file(name: str, text: str) -> Path:
        path = Path(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(dedent(text))
        return path

    return write_file
