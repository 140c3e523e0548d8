import signal
import subprocess
import sys

from namespaces import unshared

ADOPTS = """
import asyncio, ctypes, os, resource, subprocess, sys
from hostler.process.tree.reaper import OrphanReaper

PR_SET_CHILD_SUBREAPER = 36
assert ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) == 0

def ended(*argv, **options):
    child = subprocess.Popen(argv, stdout=subprocess.PIPE, **options)
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    return child

server = ended("sh", "-c", "exit 3", start_new_session=True)
of_a_plugin = ended("sh", "-c", "exit 4")
launches = "exec 3<&0; setsid sh -c 'read _; exit 5' <&3 & echo $!"
launcher = ended("sh", "-c", launches, start_new_session=True, stdin=subprocess.PIPE)
launcher.stdin.close()  # only now does the orphan end: before, the shell could reap it
orphan = int(launcher.stdout.read())
os.waitid(os.P_PID, orphan, os.WEXITED | os.WNOWAIT)

looks, limits = [], resource.getrlimit(resource.RLIMIT_NOFILE)

def known():
    looks.append(None)
    # At the first look no descriptor is free.
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, limits[1]) if len(looks) == 1 else limits)
    return {server.pid, launcher.pid}

async def reap():
    OrphanReaper(known).note_exit()
    async with asyncio.timeout(60):
        while os.path.exists(f"/proc/{orphan}"):
            await asyncio.sleep(0.01)

asyncio.run(reap())
print(server.wait(), of_a_plugin.wait(), launcher.wait())
"""
AS_FIRST_PROCESS = """
import asyncio, os, subprocess
from hostler.process.tree.reaper import OrphanReaper

assert os.getpid() == 1
orphans = []
for _ in range(3):
    launches = ["sh", "-c", "exec 3<&0; setsid cat <&3 & echo $!"]
    launcher = subprocess.Popen(launches, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    launcher.wait()
    launcher.stdin.close()  # only now does the orphan end: before, the shell could reap it
    orphans.append(int(launcher.stdout.read()))

async def reap():
    OrphanReaper(set).note_exit()
    async with asyncio.timeout(60):
        while any(os.path.exists(f"/proc/{pid}") for pid in orphans):
            await asyncio.sleep(0.01)

asyncio.run(reap())
print([name for name in os.listdir("/proc") if name.isdigit()])
"""
LEAVES = """
import asyncio, os, pathlib, signal
from hostler.model.launch import Launch
from hostler.process.system import Processes
from hostler.process.tree import snapshot

processes, here, looks = Processes(), pathlib.Path("/"), []
processes.adopt_orphans()
read_table = snapshot.read_table
snapshot.read_table = lambda *args: looks.append(args) or read_table(*args)

def start(name, script):
    out, write = os.pipe()
    launch = Launch(server=name, generation=1, argv=["sh", "-c", script], cwd=here,
                    env={"PATH": "/usr/bin:/bin"}, host="127.0.0.1", port=None, data_dir=here, cache_dir=here)
    process = processes.spawn(launch, run_id=name, stdout_fd=write, stderr_fd=write)
    return process, int(os.read(out, 100))

async def kill(process):
    os.kill(process.pid, signal.SIGKILL)
    await process.wait()
    return await processes.stop(process, grace=5), len(looks)

async def main():
    processes.watchdog.add("other", print)
    # The shell waits for what it substitutes: after that the orphan is ours.
    leaves = "pid=$(setsid env -i sleep 60 > /dev/null & echo $!); echo $pid; exec sleep 60"
    deeper = "setsid sh -c 'setsid env -i sleep 60 & echo $!; wait' & exec sleep 60"
    other, orphan = start("b", leaves)
    alone, _ = start("c", "echo $$; exec sleep 60")
    print(*await kill(alone), os.waitpid(orphan, os.WNOHANG))
    server, left = start("a", leaves)
    print(*await kill(server), os.waitpid(left, 0)[1], other.alive(), os.waitpid(orphan, os.WNOHANG))
    server, left = start("d", deeper)
    print(*await kill(server), os.path.exists(f"/proc/{left}/exe"))
    print((await kill(other))[0], os.waitpid(orphan, 0)[1])
    processes.watchdog.close()

asyncio.run(main())
"""


STOPS = """
import asyncio, os, pathlib, sys
from hostler.model.launch import Launch
from hostler.process.system import Processes

async def main():
    processes, here = Processes(), pathlib.Path("/")
    processes.adopt_orphans()
    launch = Launch(server="a", generation=1, argv=["sleep", "60"], cwd=here, env={"PATH": "/usr/bin:/bin"},
                    host="127.0.0.1", port=None, data_dir=here, cache_dir=here)
    process = processes.spawn(launch, run_id="run-of-a", stdout_fd=1, stderr_fd=2)
    print("started", flush=True)
    sys.stdin.readline()
    print(await processes.stop(process, grace=0.2))

asyncio.run(main())
"""


def test_what_is_found_while_the_server_lives_is_ended_though_it_descends_from_somebody_else() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", STOPS], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as hostler:
        assert hostler.stdout is not None
        assert hostler.stdout.readline() == "started\n"
        stays = ["sh", "-c", "trap '' TERM; echo; while :; do sleep 1; done"]
        elsewhere = subprocess.Popen(stays, stdout=subprocess.PIPE, env={"HOSTLER_RUN_ID": "run-of-a"})
        try:
            assert elsewhere.stdout is not None
            assert elsewhere.stdout.readline() == b"\n"
            assert hostler.communicate("stop\n", 30)[0] == "()\n"
            assert elsewhere.wait(5) == -signal.SIGKILL
        finally:
            elsewhere.kill()
            elsewhere.communicate()


def test_what_a_dead_server_left_is_found_below_our_own_children_without_a_look_at_all_processes() -> None:
    result = subprocess.run([sys.executable, "-c", LEAVES], capture_output=True, text=True, check=False)

    killed = "() 0 (0, 0)\n() 0 15 True (0, 0)\n() 0 False\n() 15\n"
    assert (result.stdout, result.stderr) == (killed, "")


def test_only_adopted_children_are_reaped_also_when_there_was_no_descriptor_to_look_for_them() -> None:
    result = subprocess.run([sys.executable, "-c", ADOPTS], capture_output=True, text=True, check=False)

    assert (result.stdout, result.stderr) == ("3 4 0\n", "")


def test_the_first_process_of_a_namespace_leaves_no_zombies() -> None:
    result = unshared(["--pid", "--fork", "--mount-proc", sys.executable, "-c", AS_FIRST_PROCESS])

    assert (result.stdout, result.stderr) == ("['1']\n", "")
