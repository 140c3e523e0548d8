"""Children of a thread that has few descriptors: the same as all others."""

import asyncio
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from hostler.process.spawn.descriptor_limit import DescriptorLimit
from hostler.process.spawn.spawn_thread import SpawnThread
from hostler.process.tree.run_mark import SPAWN_THREAD_NAME, may_lend

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="all threads have the same descriptors")
NULL = subprocess.DEVNULL


@pytest.fixture(scope="module")
def thread() -> SpawnThread:
    """One for all tests: it lasts as long as the process."""
    try:
        return SpawnThread()
    except OSError as error:
        pytest.skip(str(error))


def test_a_child_gets_its_streams_and_no_other_descriptor(thread: SpawnThread) -> None:
    read, write = os.pipe()
    os.set_inheritable(read, True)
    argv = ["sh", "-c", "exec ls /proc/self/fd"]
    child = thread.popen(argv, stdin=NULL, stdout=write, stderr=NULL)
    os.close(write)
    with os.fdopen(read) as out:
        assert out.read().split() == ["0", "1", "2", "3"]  # the last one is the listing itself
    assert child.wait() == 0


def test_our_own_descriptors_stay_open(tmp_path: Path) -> None:
    with (tmp_path / "file").open("w+") as file:
        assert SpawnThread().popen(["true"], stdin=NULL, stdout=NULL, stderr=NULL).wait() == 0
        file.write("still")
        file.seek(0)
        assert file.read() == "still"


def test_what_cannot_be_started_is_said_and_the_next_one_is_started(thread: SpawnThread) -> None:
    with pytest.raises(FileNotFoundError):
        thread.popen(["/no/such/program"], stdin=0, stdout=1, stderr=2)
    assert thread.popen(["true"], stdin=NULL, stdout=1, stderr=2).wait() == 0


def test_an_input_that_is_kept_open_is_written_to_by_us(thread: SpawnThread) -> None:
    child = thread.popen(["sh", "-c", "read it; exit $it"], stdin=subprocess.PIPE, stdout=1, stderr=2)
    child.communicate(b"7\n")
    assert child.returncode == 7


def test_a_child_that_is_to_die_with_its_parent_lives_on_between_two_starts(thread: SpawnThread) -> None:
    words = ["setpriv", "--pdeathsig", "KILL", "sleep", "60"]
    child = thread.popen(words, stdin=NULL, stdout=1, stderr=2)
    assert thread.popen(["true"], stdin=NULL, stdout=1, stderr=2).wait() == 0
    assert child.poll() is None
    assert f"PPid:\t{os.getpid()}\n" in Path(f"/proc/{child.pid}/status").read_text()
    child.kill()
    child.wait()


def test_the_ends_of_its_children_wake_the_event_loop(capfd: pytest.CaptureFixture[str]) -> None:
    async def until_told() -> None:
        told = asyncio.Event()
        asyncio.get_running_loop().add_signal_handler(signal.SIGCHLD, told.set)
        thread = SpawnThread()
        for _ in range(20):
            told.clear()
            child = thread.popen(["sleep", "0.01"], stdin=NULL, stdout=1, stderr=2)
            async with asyncio.timeout(10):
                await told.wait()
            assert child.wait() == 0

    asyncio.run(until_told())
    assert capfd.readouterr().err == ""


@pytest.mark.usefixtures("thread")
def test_beside_it_a_mark_can_be_lent_as_before() -> None:
    assert may_lend()


def test_servers_are_started_by_one_from_a_thousand_descriptors_on_where_that_is_allowed() -> None:
    limit = DescriptorLimit()
    limit.note(2000)
    assert limit.popen is subprocess.Popen
    limit.allow()  # all that a program which may set signal handlers at any time asks for
    limit.note(2000)
    assert limit.popen is subprocess.Popen
    limit.spawn_apart()
    limit.note(1000)
    assert limit.popen is subprocess.Popen
    limit.note(1024)
    assert limit.popen is not subprocess.Popen
    assert limit.popen(["true"], stdin=NULL, stdout=1, stderr=2).wait() == 0


def test_what_is_changed_of_the_threads_that_start_children_is_changed_of_that_one_too() -> None:
    limit, threads = DescriptorLimit(), list[str]()
    limit.call_where_children_start(lambda: threads.append(threading.current_thread().name))
    limit.spawn_apart()
    limit.note(1024)
    limit.call_where_children_start(lambda: threads.append(threading.current_thread().name))
    assert threads[:2] == [threading.current_thread().name] * 2
    assert threads[2].startswith(SPAWN_THREAD_NAME)
