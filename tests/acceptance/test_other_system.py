"""macOS, as far as it can be seen from here: its ways give Linux's answers, and what it calls is there."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

# Only the system's name is another one: psutil, which stands in for /proc there, tells the truth here too.
# It is asked about the program itself (a stranger), a child in its own session (the tree), and that child's.
LOOK_AROUND = """
import json, os, signal, socket, subprocess, sys
import psutil

CHILD = '''
import os, socket, subprocess, sys
own = socket.create_server(("127.0.0.1", 0))
sleeper = subprocess.Popen(["sleep", "60"], process_group=0)
print(own.getsockname()[1], sleeper.pid, flush=True)
sys.stdin.read()
sleeper.kill()
sleeper.wait()
'''
sys.platform = sys.argv[1]

from hostler import Endpoint
from hostler.process.net.ownership import listening_sockets, who_holds, who_listens
from hostler.process.tree.process_table import read_row, read_table, start_time

child = subprocess.Popen(
    [sys.executable, "-c", CHILD],
    env=os.environ | {"HOSTLER_RUN_ID": f"outer:ours-{os.getpid()}"},
    stdin=subprocess.PIPE,
    stdout=subprocess.PIPE,
    start_new_session=True,
)
port, sleeper = map(int, child.stdout.readline().split())
stranger = socket.create_server(("127.0.0.1", 0))
names = {os.getpid(): "us", child.pid: "child", sleeper: "sleeper", None: None}
table = read_table()
row, below = table.rows[child.pid], table.rows[sleeper]

def listener(found):
    return [found.kind.value, names[found.pid], found.bound_host]

def at(number):
    return Endpoint("127.0.0.1", number)

print(json.dumps({
    "parents": [names[row.parent], names[below.parent]],
    "groups": [names[row.group], names[below.group]],
    "sessions": [names[row.session], names[below.session]],
    "marked": sorted(names[row.pid] for row in table.marked(f"ours-{os.getpid()}", 0)),
    "children": [names[row.pid] for row in table.children[child.pid]],
    "memory": 0.5 < row.rss / psutil.Process(child.pid).memory_info().rss < 2,
    "age": start_time(sleeper) >= start_time(child.pid) > 0,
    "own": listener(who_listens(at(port), lambda: [child.pid])),
    "foreign": listener(who_listens(at(stranger.getsockname()[1]), lambda: [child.pid])),
    "nobody": listener(who_listens(at(1), lambda: [child.pid])),
    "holds": listener(who_holds("127.0.0.1", port)),
    "listening": [found.port == port for found in listening_sockets([child.pid])],
}))
child.stdin.close()
os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
print(json.dumps({"zombie": read_row(child.pid) is not None}))
child.wait()
print(json.dumps({"gone": [read_row(child.pid), start_time(child.pid)]}))
"""


@pytest.mark.requirement("R7")
@pytest.mark.parametrize("system", sorted({sys.platform, "darwin"}))
def test_processes_and_sockets_are_seen_alike_on_both_systems(system: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", LOOK_AROUND, system], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, object] = {}

    for line in done.stdout.splitlines():
        found |= json.loads(line)

    assert found == {
        "parents": ["us", "child"],
        "groups": ["child", "sleeper"],
        "sessions": ["child", "child"],
        "marked": ["child", "sleeper"],
        "children": ["sleeper"],
        "memory": True,
        "age": True,
        "own": ["own", "child", "127.0.0.1"],
        "foreign": ["foreign", "us", "127.0.0.1"],
        "nobody": ["nobody", None, None],
        "holds": ["foreign", "child", "127.0.0.1"],
        "listening": [True],
        "zombie": False,
        "gone": [None, 0],
    }


@pytest.mark.requirement("R7")
@pytest.mark.parametrize("system", ["linux", "darwin"])
def test_what_is_called_is_there_on_both_systems(system: str, tmp_path: Path) -> None:
    pytest.importorskip("mypy", reason="mypy knows what the standard library has on other systems")
    words = ["--platform", system, "--cache-dir", str(tmp_path), "framework/hostler/process"]
    done = subprocess.run(
        [sys.executable, "-m", "mypy", *words],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=150,
        check=False,
    )
    assert done.returncode == 0, done.stdout
