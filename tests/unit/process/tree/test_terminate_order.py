"""Who of a server's tree is asked to end first, and who is left in peace meanwhile."""

import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anyio
import pytest
from hostler.concurrency.flag import Flag
from hostler.model.choices import StopMode, StopOrder, StopSignal
from hostler.process.tree.terminate import stop_tree

Start = Callable[..., Any]

PYTHON = (sys.executable, "-I", "-S", "-u")
SERVER = """
import os, signal, sys, time
name, seconds = sys.argv[1], float(sys.argv[2])
def end(number, frame):
    os.write(1, f"{name} got {signal.Signals(number).name}\\n".encode())
    time.sleep(seconds)
    os.write(1, f"{name} has finished\\n".encode())
    os._exit(0)
for number in (signal.SIGTERM, signal.SIGINT):
    signal.signal(number, end)
os.write(1, f"{name} is up\\n".encode())
while True:
    time.sleep(0.02)  # a signal just before a sleep waits for its end
"""
LEADER = """
import os, signal, subprocess, sys, time
helper = subprocess.Popen([sys.executable, "-c", "for line in open(0): print(line, end='', flush=True)"],
                          stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
def end(number, frame):
    helper.stdin.write("the state\\n")
    helper.stdin.flush()
    os.write(1, ("saved " + helper.stdout.readline()).encode())
    os._exit(0)
waits = {signal.SIGTERM} if "waits" in sys.argv else set()
if not waits:
    signal.signal(signal.SIGTERM, end)
signal.pthread_sigmask(signal.SIG_BLOCK, waits)
helper.stdin.write("ready\\n")
helper.stdin.flush()
os.write(1, helper.stdout.readline().encode())
if waits:
    end(signal.sigwait(waits), None)
while True:
    time.sleep(0.02)
"""
READER = """
import sys, time
for line in sys.stdin:
    print("read:", line, end="", flush=True)
time.sleep(0.2)
print("end of input", flush=True)
"""


@pytest.fixture
def programs(tmp_path: Path) -> Path:
    for name, text in (("server", SERVER), ("leader", LEADER), ("reader", READER)):
        (tmp_path / f"{name}.py").write_text(text)
    return tmp_path


async def up(start: Start, *argv: str, lines: int = 1) -> Any:
    child = start(*argv)
    for _ in range(lines):
        assert await child.line()
    return child


def shell(script: str, shell: str = "sh") -> tuple[str, ...]:
    """A line of shell in which `python` is this one."""
    return shell, "-c", script.replace("python", " ".join(PYTHON))


@pytest.mark.parametrize("after", ["wait $child; wait $child", "exit 0"])
async def test_a_wrapper_that_hands_the_signal_on_delivers_it_once(
    start: Start, programs: Path, after: str
) -> None:
    script = f"python server.py web 0.5 & child=$!; trap 'kill -TERM $child; {after}' TERM; wait $child"
    child = await up(start, *shell(script))

    assert await stop_tree(child.process, grace=10) == ()
    assert await child.text() == "web got SIGTERM\nweb has finished\n"


def until_asleep(pid: int, where: str) -> None:
    until = time.monotonic() + 10
    while where not in Path(f"/proc/{pid}/wchan").read_text():
        assert time.monotonic() < until
        time.sleep(0.01)


@pytest.mark.parametrize(("how", "where"), [("handles", "nanosleep"), ("waits", "sigtimedwait")])
async def test_a_helper_lives_until_its_server_has_ended(
    start: Start, programs: Path, how: str, where: str
) -> None:
    child = await up(start, *PYTHON, "leader.py", how)
    until_asleep(child.process.pid, where)

    assert await stop_tree(child.process, grace=10) == ()
    assert await child.text() == "saved the state\n"


async def test_the_reader_at_the_end_of_a_pipe_reads_all_of_it(start: Start, programs: Path) -> None:
    child = await up(start, *shell("python server.py web 0.3 | python reader.py; echo never"))

    assert await stop_tree(child.process, grace=10) == ()
    assert await child.text() == "read: web got SIGTERM\nread: web has finished\nend of input\n"


async def test_the_reader_reads_all_of_it_though_who_writes_dies_at_once(
    start: Start, programs: Path
) -> None:
    writer = "python -c 'import time; print(1); time.sleep(300)'"
    child = await up(start, *shell(f"{writer} | python reader.py; echo never"))

    assert await stop_tree(child.process, grace=10) == ()
    assert await child.text() == "end of input\n"


async def test_who_has_left_a_main_process_that_dies_is_asked_at_once(start: Start, programs: Path) -> None:
    child = await up(start, *shell("(python server.py rest 1.4 &); exec sleep 300"))

    assert await stop_tree(child.process, grace=2) == ()
    assert await child.text() == "rest got SIGTERM\nrest has finished\n"


@pytest.mark.parametrize("script", ["python server.py web 0 & wait", "python server.py web 0; echo never"])
async def test_where_the_main_process_is_a_shell_without_a_trap_its_children_are_asked_at_once(
    start: Start, programs: Path, script: str
) -> None:
    child = await up(start, *shell(script))
    with anyio.fail_after(20):
        assert await stop_tree(child.process, grace=1000) == ()
    assert await child.text() == "web got SIGTERM\nweb has finished\n"


async def test_a_main_process_that_keeps_the_signal_to_itself_has_half_of_the_time(
    start: Start, programs: Path
) -> None:
    # bash runs a trap when the command in front has ended
    child = await up(start, *shell("trap 'echo trapped' TERM; python server.py web 1.4; echo over", "bash"))

    assert await stop_tree(child.process, grace=4) == (), "and the other half is for those below it"
    assert await child.text() == "web got SIGTERM\nweb has finished\ntrapped\nover\n"


async def test_what_a_dead_main_process_left_is_asked_at_once(start: Start, programs: Path) -> None:
    child = await up(start, *shell("python server.py web 0 & exit 3"))
    await child.process.wait()
    with anyio.fail_after(20):
        assert await stop_tree(child.process, grace=1000) == ()
    assert await child.text() == "web got SIGTERM\nweb has finished\n"


async def test_what_outlives_its_main_process_is_asked_in_its_turn(start: Start, programs: Path) -> None:
    script = "python server.py web 0 & trap 'exit 0' TERM; wait"
    child = await up(start, *shell(script))

    assert await stop_tree(child.process, grace=1) == ()
    assert await child.text() == "web got SIGTERM\nweb has finished\n"


async def test_the_main_process_gets_the_signal_that_is_configured_and_the_rest_sigterm(
    start: Start, programs: Path
) -> None:
    script = "set -m; python server.py rest 0 & exec python server.py main 0"
    child = await up(start, *shell(script, "bash"), lines=2)
    order = StopOrder(signal=StopSignal.INT)

    assert await stop_tree(child.process, grace=1, order=order) == ()
    assert (await child.text()).splitlines() == [
        "main got SIGINT", "main has finished", "rest got SIGTERM", "rest has finished",
    ]  # fmt: skip


async def test_a_child_that_ignores_the_signal_of_the_main_process_gets_sigterm_later(
    start: Start, programs: Path
) -> None:
    script = "trap '' INT; python -c 'import time; print(1); time.sleep(60)' & wait $!; exit $?"
    child = await up(start, *shell(script))

    assert await stop_tree(child.process, grace=1, order=StopOrder(signal=StopSignal.INT)) == ()
    status = child.process.exit_status
    assert status.signal == signal.SIGTERM or status.code == 128 + signal.SIGTERM, "whoever of both is first"


async def test_a_main_process_that_is_alone_gets_sigterm_later_only_if_it_ignores_its_signal(
    start: Start, programs: Path
) -> None:
    order = StopOrder(signal=StopSignal.INT)
    deaf = await up(start, *shell("trap '' INT; echo up; exec sleep 300"))
    busy = await up(start, *PYTHON, "server.py", "web", "1.4")

    assert await stop_tree(deaf.process, grace=1, order=order) == ()
    assert deaf.process.exit_status.signal == signal.SIGTERM
    assert await stop_tree(busy.process, grace=2, order=order) == ()
    assert await busy.text() == "web got SIGINT\nweb has finished\n"


async def test_the_whole_tree_is_asked_at_once_where_that_is_wanted(start: Start, programs: Path) -> None:
    child = await up(start, *shell("python server.py rest 0 & exec python server.py main 0.5"), lines=2)

    assert await stop_tree(child.process, grace=10, order=StopOrder(StopMode.TREE)) == ()
    lines = (await child.text()).splitlines()
    assert lines.index("rest got SIGTERM") < lines.index("main has finished")


async def test_who_is_killed_at_once_is_not_asked_before(start: Start, programs: Path) -> None:
    child = await up(start, *PYTHON, "server.py", "web", "0")
    now = Flag()
    now.set()

    assert await stop_tree(child.process, grace=10, cut_short=now) == ()
    assert child.process.exit_status.signal == signal.SIGKILL
    assert await child.text() == ""


async def test_a_main_process_is_waited_for_without_descriptors(
    start: Start, programs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def none_left(pid: int) -> int:
        raise OSError(24, os.strerror(24))

    child = await up(start, *PYTHON, "leader.py")
    monkeypatch.setattr("hostler.process.tree.handles.open_exit_fd", none_left)

    assert await stop_tree(child.process, grace=10) == ()
    assert await child.text() == "saved the state\n"
