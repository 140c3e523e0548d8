"""A plugin in a file of its own, written for the contract check."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from textwrap import dedent, indent

import pytest
from hostler import PluginSpec
from hostler.plugins.discovery import find_class
from hostler.testing.conformance import (
    Findings,
    check_contract,
    hook_calls,
    lifecycle_checks,
    report_streams,
)

HEAD = """
import asyncio, os, time
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Annotated, Any, Callable, ClassVar, Literal

import anyio
import msgspec
from hostler import Action, Advice, Duration, Endpoint, Healthy, ProcessSpawnFailed, Size, Unhealthy
from hostler import Secret, hookimpl, option

"""

ON_READY = "@hookimpl\nasync def on_ready(self): pass\n"


class Author:
    """Writes plugins into a file of their own."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def write(self, body: str = "", *, before: str = "", decorator: str = "@dataclass(eq=False)") -> type:
        """A class with this body; with a hook, unless the body has something to say about hooks."""
        body = dedent(body) if "hookimpl" in body else f"{dedent(body)}\n{ON_READY}"
        text = f'{HEAD}{before}\n{decorator}\nclass Mine:\n    """Does something."""\n{indent(body, "    ")}'
        file = self._folder / "mine.py"
        file.write_text(text)
        return find_class(PluginSpec("mine", use=f"{file}:Mine"))

    def check(self, body: str = "", options: Mapping[str, object] | None = None) -> Findings:
        return check_contract(self.write(body), options)

    def breaches(self, body: str = "", **more: str) -> list[str]:
        found = check_contract(self.write(body, **more)).breaches
        return [f"{breach.where.partition(' ')[2]}: {breach.what}" for breach in found]


GOOD = """
api: ClassVar[str] = "1"
path: Path = option(Path("x"), "a path")
size: Size = option(Size(1024), "a size")
wait: Duration = option(Duration(0.001), "a time")
words: list[str] = option([], "words")
table: dict[str, int] = option({}, "a table")
kind: Literal["a", "b"] = option("a", "a kind")
count: Annotated[int, msgspec.Meta(ge=1)] = option(1, "how many")
maybe: str | None = option(None, "may be left out")
token: str = option("", "a secret", secret=True)
seen: int = field(init=False, default=0)

@hookimpl
async def pre_spawn(self, server, launch):
    launch.argv.append("--quiet")
    launch.set_secret("PASSWORD", os.urandom(8).hex())
    launch.defer(lambda: None)
    server.notice("good", "is good")

@hookimpl
def parse_port(self, line):
    return Endpoint("127.0.0.1", 4096) if "4096" in line else None

@hookimpl
async def health_check(self, server, endpoint):
    while True:
        self.seen += 1
        yield Unhealthy("nobody listens")
        await asyncio.sleep(10)

@hookimpl
async def on_ready(self, server, endpoint): server.publish("GOOD", server.url)

@hookimpl
async def on_crash(self, exit): return Advice(Action.BACK_OFF) if exit.code else None

@hookimpl
async def on_shutdown(self, server, reason): await asyncio.sleep(0)
"""


@pytest.fixture
def author(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Author:
    # The probe of a plugin's import leaves no coverage behind, and would pay for it.
    monkeypatch.delenv("COVERAGE_PROCESS_CONFIG", raising=False)
    return Author(tmp_path)


@pytest.fixture(autouse=True)
def short_deadlines(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is awaited here comes at once or never."""
    monkeypatch.setattr(hook_calls, "DEADLINES", dict.fromkeys(hook_calls.DEADLINES, 0.3))
    monkeypatch.setattr(report_streams, "_FIRST", 0.3)
    monkeypatch.setattr(report_streams, "_CLOSE", 0.3)
    monkeypatch.setattr(lifecycle_checks, "_LINGER", 0.2)
