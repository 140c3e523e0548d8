"""The guide for those who write plugins: what it shows is right, and does what it says."""

from __future__ import annotations

import re
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Mapping
from contextlib import closing
from pathlib import Path

import pytest
from hostler import PluginSpec, testing
from hostler.plugins.discovery import find_class
from hostler.testing import assert_plugin_contract
from hostler.testing.servers import Servers
from third_party_packages import WITHOUT

PAGE = Path(__file__).parents[2] / "docs" / "writing-plugins.md"
TESTING = PAGE.with_name("testing.md")
BLOCKS = re.findall(r"^```python\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL)
CLASSES = {name: text for text in BLOCKS for name in re.findall(r"^class (\w+)[:(]", text, re.MULTILINE)}
PLUGINS = re.findall(r"^@dataclass\(eq=False\)\nclass (\w+)", PAGE.read_text(), re.MULTILINE)
CONFTEST = 'import pytest\n\n@pytest.fixture\ndef anyio_backend():\n    return "asyncio"\n'
SERVERS = f"""
[servers.web]
command = ["{sys.executable}", "-m", "hostler.testing.fake_server", "--answer", "/", "200"]
plugins.regex-port = true
plugins.tcp-health = true
"""
OPTIONS: Mapping[str, Mapping[str, object]] = {
    "Options": {"command": ["true"]},
    "Audit": {"path": "/dev/null"},
}


@pytest.mark.parametrize("name", PLUGINS)
def test_every_plugin_that_is_shown_keeps_what_a_plugin_promises(name: str, tmp_path: Path) -> None:
    file = tmp_path / "shown.py"
    file.write_text(CLASSES[name])
    assert_plugin_contract(find_class(PluginSpec("shown", use=f"{file}:{name}")), OPTIONS.get(name))


async def test_the_sink_that_is_shown_keeps_every_line(
    hostler_server: Servers, fake_server: Callable[..., list[str]], tmp_path: Path
) -> None:
    (tmp_path / "shown.py").write_text(CLASSES["SqliteLog"])
    table = {"use": f"{tmp_path / 'shown.py'}:SqliteLog", "file": str(tmp_path / "output.db")}
    server = await hostler_server(fake_server("--print", "one", "--print", "zwölf"), plugins={"log": table})
    await server.stop()
    with closing(sqlite3.connect(tmp_path / "output.db")) as database:
        lines = [line for (line,) in database.execute("SELECT line FROM lines WHERE stream = 'stdout'")]
    assert [line for line in lines if line in {"one", "zwölf"}] == ["one", "zwölf"]


def test_the_check_that_is_shown_says_what_the_page_says(tmp_path: Path) -> None:
    (tmp_path / "traced.py").write_text(CLASSES["Traced"])
    plugin = 'traced = { use = "traced.py:Traced", program = "nowhere" }'
    (tmp_path / "hostler.toml").write_text(
        f'[servers.web]\ncommand = ["true"]\n\n[servers.web.plugins]\n{plugin}\n'
    )
    argv = [sys.executable, "-m", "hostler", "check", "hostler.toml"]
    done = subprocess.run(argv, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
    (shown,) = re.findall(
        r"^hostler\.toml:5: servers\.web\.plugins\.traced.*$", PAGE.read_text(), re.MULTILINE
    )
    assert shown.replace("strace", "nowhere") in done.stdout + done.stderr


@pytest.mark.parametrize("page", [PAGE, TESTING], ids=lambda page: page.name)
def test_the_tests_that_are_shown_pass(page: Path, tmp_path: Path) -> None:
    blocks = re.findall(r"^```python\n(.*?)^```$", page.read_text(), re.MULTILINE | re.DOTALL)
    tests = [text for text in blocks if "def test_" in text]
    for number, text in enumerate(tests):
        (tmp_path / f"test_shown_{number}.py").write_text(text)

    (tmp_path / "mailpit.py").write_text(CLASSES["Mailpit"])
    (tmp_path / "audit.py").write_text(CLASSES["Audit"])
    (tmp_path / "conftest.py").write_text(CONFTEST)
    (tmp_path / "hostler.toml").write_text(SERVERS)
    (tmp_path / "pytest.ini").touch()
    argv = [sys.executable, "-m", "pytest", "-q", *WITHOUT, f"--basetemp={tmp_path / 'tmp'}"]
    done = subprocess.run(argv, cwd=tmp_path, capture_output=True, text=True, timeout=90, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{sum(text.count('def test_') for text in tests)} passed" in done.stdout


@pytest.mark.parametrize("name", [*testing.__all__, "hostler_server", "fake_server", "virtual_clock"])
def test_all_that_helps_to_test_is_documented(name: str) -> None:
    assert re.search(rf"\b{name}\b", TESTING.read_text())
