"""A /proc that shows less than it should, or numbers the processes as another pid namespace does."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from child_environment import without_coverage
from namespaces import unshared
from run_marks import mark

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="namespaces of its own need root")

TREE = "(setsid sleep 60 </dev/null >/dev/null 2>&1 &); env -i setsid sh -c 'sleep 60; :' & echo up; wait"
STOPS = f"""
import asyncio, os, pathlib, socket
from hostler.model.launch import Launch
from hostler.model.values import Endpoint
from hostler.process.tree.procfs import doubt
from hostler.process.net.ownership import who_listens
from hostler.process.spawn.spawn import spawn
from hostler.process.tree.reaper import list_zombies
from hostler.process.tree.members import find_tree
from hostler.process.tree.snapshot import ProcessTableSnapshot
from hostler.process.tree.terminate import stop_tree

async def main():
    here, census = pathlib.Path("/tmp"), ProcessTableSnapshot()
    launch = Launch(server="a", generation=1, argv=["sh", "-c", {TREE!r}], cwd=here,
                    env={{"PATH": "/usr/bin:/bin"}}, host="127.0.0.1", port=None,
                    data_dir=here, cache_dir=here)
    out, write = os.pipe()
    process = spawn(launch, run_id={mark("stops")!r}, stdout_fd=write, stderr_fd=write)
    os.read(out, 100)

    while len(members := find_tree(process, table=await census.look(process))) < 4:
        await asyncio.sleep(0.01)

    print("another pid namespace" in process.doubt, process.pid in [one.pid for one in members])

    with socket.create_server(("127.0.0.1", 0)) as bound:
        here = Endpoint("127.0.0.1", bound.getsockname()[1])
        listener = who_listens(here, lambda: [os.getpid()])
        print(listener.kind.value, listener.pid == os.getpid())

    zombie = os.fork() or os._exit(0)
    os.waitid(os.P_PID, zombie, os.WEXITED | os.WNOWAIT)
    print(list_zombies(os.getpid()) == [zombie])
    print(await stop_tree(process, grace=5, snapshot=census), find_tree(process))
    os.close(write)
    print(os.read(out, 100))

asyncio.run(main())
"""
CHECKS = """
import os
from hostler.process.tree.procfs import check_proc, doubt
print("hides" in doubt())
os.setgroups([])
os.setresgid(2001, 2001, 2001)
os.setresuid(2001, 2001, 2001)
print("hides" in doubt())
check_proc()
"""


def run(unshare: str, code: str, *wrapper: str) -> "subprocess.CompletedProcess[str]":
    # What becomes another user may not write the coverage of this run.
    env = without_coverage()
    return unshared([*unshare.split(), *wrapper, sys.executable, "-c", code], env)


def test_a_tree_is_found_and_stopped_where_proc_is_that_of_another_pid_namespace() -> None:
    done = run("--pid --fork --kill-child", STOPS)

    assert (done.stdout, done.stderr) == ("True True\nown True\nTrue\n() []\nb''\n", "")


@pytest.mark.parametrize("hidepid", [1, 2])
def test_a_proc_that_hides_other_users_is_named(hidepid: int) -> None:
    mount = f'mount -t proc -o hidepid={hidepid} proc /proc; exec "$@"'
    done = run("--mount", CHECKS, "sh", "-c", mount, "sh")

    assert (done.stdout, done.stderr) == ("False\nTrue\n", "")  # root sees all of it


def test_nothing_is_started_without_proc() -> None:
    done = run("--mount", CHECKS, "sh", "-c", 'umount -l /proc; exec "$@"', "sh")

    assert "EnvironmentSetupFailed: there is no /proc" in done.stderr


def test_check_says_that_nothing_is_started_without_proc(tmp_path: Path) -> None:
    file = tmp_path / "hostler.toml"
    file.write_text('[servers.x]\ncommand = ["sleep", "5"]\nport = false\n')
    code = f"from hostler.cli import main; main(['check', {str(file)!r}])"
    done = run("--mount", code, "sh", "-c", 'mount -t tmpfs none /proc; exec "$@"', "sh")

    assert done.returncode == 2
    assert "nothing can be started: there is no /proc" in done.stderr
