"""A plugin that hangs when it is imported ends the command, in words that name its file."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest
from hostler_process import Configure, Start

IMPORTS = """
import sys
from hostler import PluginSpec
from hostler.cli.import_deadline import bounded_imports
from hostler.plugins.discovery import find_class

with bounded_imports(seconds=2):
    find_class(PluginSpec("x", use=f"{sys.argv[1]}:X"))

print("imported")
"""
# No stack of a thread fits in.
NO_THREADS = """
import resource
from hostler.cli.import_deadline import bounded_imports

pages = int(open("/proc/self/statm").read().split()[0])
resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + 2**20, resource.RLIM_INFINITY))

with bounded_imports():
    print("imported")
"""
TABLE = '[servers.web]\ncommand = ["true"]\nport = false\nplugins = { x = { use = "./endless.py:X" } }\n'


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ("while True: pass", 2),
        ("import threading; threading.Event().wait()", 2),
        ("import collections, itertools; collections.deque(itertools.count(), maxlen=0)", 1),
        ("import time; time.sleep(0.1)\nclass X: pass", 0),
    ],
    ids=["loop", "wait", "loop of C", "an end"],
)
def test_an_import_that_does_not_end_ends_the_program(tmp_path: Path, body: str, code: int) -> None:
    (tmp_path / "endless.py").write_text(body)
    words = [sys.executable, "-c", IMPORTS, str(tmp_path / "endless.py")]
    done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == code
    assert (f"{tmp_path}/endless.py" in done.stderr) is bool(code)
    assert ("imported" in done.stdout) is not bool(code)


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_where_no_thread_can_be_started_imports_are_not_watched() -> None:
    words = [sys.executable, "-W", "ignore", "-c", NO_THREADS]
    done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=60)
    assert (done.stdout, done.stderr) == ("imported\n", "")


def test_every_command_that_imports_a_plugin_ends(tmp_path: Path, configure: Configure, start: Start) -> None:
    (tmp_path / "endless.py").write_text("import time\ntime.sleep(10**6)")
    configure(text=TABLE)
    calls = ["check", "run", "show", "explain", "crashes", "ps", "logs", "plugins check endless.py:X"]
    for hostler in [start(*call.split()) for call in calls]:
        assert hostler.end(seconds=60) == 2
        assert "endless.py': the import of this plugin is not finished after 10 s" in "\n".join(
            hostler.stderr
        )


def test_a_reload_that_hangs_in_an_import_changes_nothing(
    tmp_path: Path, configure: Configure, start: Start
) -> None:
    configure(text='[servers.web]\ncommand = ["sleep", "600"]\nport = false\n')
    hostler = start("run")
    hostler.wait_for("server started")
    (tmp_path / "endless.py").write_text("import time\ntime.sleep(10**6)")
    configure(text=TABLE)
    hostler.send(signal.SIGHUP)
    hostler.wait_for("reading the configuration is not finished after 10 s", seconds=60)
    hostler.wait_for("reload failed; the running configuration is unchanged")
    hostler.send(signal.SIGTERM)
    assert hostler.end() == 0
