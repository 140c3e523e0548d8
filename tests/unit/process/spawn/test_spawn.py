import errno
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hostler.errors import ProcessSpawnFailed
from hostler.model.choices import InputMode, OutputMode
from hostler.model.launch import Launch
from hostler.process.spawn import exits
from hostler.process.spawn.exits import ExitStatus
from hostler.process.spawn.spawn import explain, spawn
from run_marks import mark

Start = Callable[..., Any]
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="changes the user")


def stat_fields(pid: int) -> list[str]:
    return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()


async def status_inside(start: Start, **options: Any) -> dict[str, str]:
    text = await start("cat", "/proc/self/status", **options).text()
    return {name: value.strip() for name, value in (line.split(":", 1) for line in text.splitlines())}


@pytest.mark.requirement("R1")
async def test_the_environment_is_exactly_the_one_of_the_launch(start: Start) -> None:
    child = start("/bin/cat", "/proc/self/environ", env={"A": "1", "B": "x=y z"}, run_id="r1")

    entries = (await child.text()).split("\0")
    assert sorted(entry for entry in entries if entry) == ["A=1", "B=x=y z", f"HOSTLER_RUN_ID={mark('r1')}"]


async def test_a_nested_run_carries_the_outer_marker_too(start: Start) -> None:
    host_env = {"HOSTLER_RUN_ID": "outer", "SECRET": "no"}
    child = start(
        "/bin/cat", "/proc/self/environ", env={"HOSTLER_RUN_ID": "forged"}, host_env=host_env, run_id="r"
    )

    assert await child.text() == f"HOSTLER_RUN_ID=outer:{mark('r')}\0"


@pytest.mark.requirement("R1")
async def test_arguments_and_directory_are_those_of_the_launch_and_ours_stay(
    start: Start, tmp_path: Path
) -> None:
    here = Path.cwd()
    child = start("sh", "-c", 'pwd; printf "%s\n" "$@"', "sh", "a b", "", "--", "$HOME")

    assert (await child.text()).splitlines() == [str(tmp_path), "a b", "", "--", "$HOME"]
    assert Path.cwd() == here


async def test_a_relative_program_is_the_one_in_its_own_directory(start: Start, tmp_path: Path) -> None:
    (tmp_path / "tool").write_text("#!/bin/sh\necho here\n")
    (tmp_path / "tool").chmod(0o755)

    assert await start("./tool").text() == "here\n"


async def test_a_child_has_its_own_session_and_no_input_and_no_other_descriptors(start: Start) -> None:
    extra = os.open("/", os.O_RDONLY)
    os.set_inheritable(extra, True)
    child = start("sh", "-c", "readlink /proc/$$/fd/0; ls /proc/$$/fd; cat")
    lines = (await child.text()).splitlines()
    os.close(extra)

    assert lines[0] == "/dev/null"
    assert {"0", "1", "2"} <= set(lines[1:]) <= {"0", "1", "2", "10", "255"}  # the last are the shell's own
    assert str(extra) not in lines[1:]


async def test_an_open_input_ends_with_the_main_process_and_not_before(
    start: Start, gone: Callable[[int], bool]
) -> None:
    script = "cat <&0 > /dev/null & echo $!; readlink /proc/$$/fd/0; read x; echo never"
    child = start("sh", "-c", script, stdin=InputMode.OPEN)
    reader, place = int(await child.line()), await child.line()
    other = await start("sh", "-c", "ls -l /proc/$$/fd").text()

    assert place.startswith("pipe:")
    assert place not in other  # nobody but us holds it open
    child.process.send_signal(signal.SIGKILL)
    await child.process.wait()
    assert await child.text() == ""
    assert gone(reader)


async def test_an_open_input_of_a_host_that_forks_is_its_parents(launch: Callable[..., Launch]) -> None:
    plan = launch("cat", stdin=InputMode.OPEN, stdout=OutputMode.IGNORE)
    process = spawn(plan, run_id="r", stdout_fd=None, stderr_fd=None)
    [let_go] = plan.fork_hooks
    let_go()
    assert await process.wait() == ExitStatus(code=0)


async def test_a_child_leads_its_session(start: Start) -> None:
    child = start("sleep", "60")

    assert os.getsid(child.pid) == child.pid == os.getpgid(child.pid)


@pytest.mark.requirement("R2")
async def test_both_streams_can_be_captured_together(start: Start, launch: Callable[..., Launch]) -> None:
    out, write = os.pipe()
    plan = launch("sh", "-c", "echo one; echo two >&2", stderr=OutputMode.CAPTURE)
    process = spawn(plan, run_id="r", stdout_fd=write, stderr_fd=write)
    os.close(write)
    await process.wait()

    assert os.read(out, 100) == b"one\ntwo\n"
    os.close(out)


@pytest.mark.requirement("R2")
async def test_inherited_output_goes_where_ours_goes(start: Start, capfd: pytest.CaptureFixture[str]) -> None:
    child = start("sh", "-c", "echo seen; echo said >&2", stdout=OutputMode.INHERIT)
    await child.process.wait()

    assert capfd.readouterr() == ("seen\n", "said\n")


@pytest.mark.requirement("R2")
async def test_ignored_output_goes_nowhere(start: Start, tmp_path: Path) -> None:
    child = start("readlink", "/proc/self/fd/1", stdout=OutputMode.IGNORE)
    assert await child.text() == ""

    child = start("sh", "-c", "readlink /proc/$$/fd/2", stderr=OutputMode.IGNORE)
    assert await child.text() == "/dev/null\n"


async def test_a_captured_stream_needs_a_descriptor(launch: Callable[..., Launch]) -> None:
    with pytest.raises(ValueError, match="needs a descriptor"):
        spawn(launch("true"), run_id="r", stdout_fd=None, stderr_fd=None)


async def test_the_start_is_noted(start: Start) -> None:
    child = start("sleep", "60")

    assert child.process.start_time == int(stat_fields(child.pid)[19])
    assert child.process.missing_tools == ()


SPAWNS_AND_WAITS = """
import sys, anyio
from pathlib import Path
from hostler.model.launch import Launch
from hostler.model.choices import OutputMode
from hostler.process.spawn.spawn import spawn

async def main():
    here = Path("/")
    launch = Launch(server="s", generation=1, argv=["sleep", "60"], cwd=here, env={"PATH": "/usr/bin:/bin"},
                    host="", port=None, data_dir=here, cache_dir=here, user=sys.argv[1] or None,
                    stdout=OutputMode.IGNORE, stderr=OutputMode.IGNORE)
    process = spawn(launch, run_id="r", stdout_fd=None, stderr_fd=None)
    while Path(f"/proc/{process.pid}/comm").read_text() != "sleep\\n":
        await anyio.sleep(0.005)
    print(process.pid, flush=True)
    await anyio.sleep(60)

anyio.run(main)
"""


@pytest.mark.parametrize("user", ["", pytest.param("nobody", marks=needs_root)])
def test_a_child_dies_with_a_hostler_that_is_killed(
    gone: Callable[[int], bool], stray: Callable[[int], int], user: str
) -> None:
    parent = subprocess.Popen([sys.executable, "-c", SPAWNS_AND_WAITS, user], stdout=subprocess.PIPE)
    assert parent.stdout is not None
    pid = stray(int(parent.stdout.readline()))
    parent.kill()
    parent.wait()
    parent.stdout.close()

    assert gone(pid)


async def test_a_child_starts_with_the_usual_signals_though_we_ignore_some(start: Start) -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    blocked = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR2})

    try:
        status = await status_inside(start)
    finally:
        signal.signal(signal.SIGHUP, before)
        signal.pthread_sigmask(signal.SIG_SETMASK, blocked)

    assert int(status["SigIgn"], 16) == 0
    assert int(status["SigBlk"], 16) == 0


async def test_a_missing_program_is_an_error_not_an_exit_code(start: Start) -> None:
    with pytest.raises(ProcessSpawnFailed, match="no-such-program was not found") as caught:
        start("no-such-program")
    assert caught.value.permanent


async def test_no_command_at_all_is_told(start: Start) -> None:
    with pytest.raises(ProcessSpawnFailed, match="the command is empty"):
        start()


async def test_arguments_that_are_too_long_are_told(start: Start) -> None:
    with pytest.raises(ProcessSpawnFailed, match="Argument list too long") as caught:
        start("true", "x" * (1 << 20))
    assert caught.value.permanent
    assert caught.value.context.details == {"errno": errno.E2BIG}


async def test_a_null_byte_is_told_without_the_argument(start: Start) -> None:
    with pytest.raises(ProcessSpawnFailed, match="embedded null byte") as caught:
        start("true", "secret\0")
    assert caught.value.permanent
    assert "secret" not in str(caught.value)


async def test_exhausted_descriptors_may_be_tried_again(start: Start, launch: Callable[..., Launch]) -> None:
    start("true")  # so that the tools have been tried
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    free = os.open("/", os.O_RDONLY)
    os.close(free)
    plan = launch("true", stdout=OutputMode.IGNORE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (free + 1, hard))

    try:
        with pytest.raises(ProcessSpawnFailed, match="Too many open files") as caught:
            spawn(plan, run_id="r", stdout_fd=None, stderr_fd=None)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))

    assert not caught.value.permanent
    assert "ulimit -n" in str(caught.value)


async def test_a_child_that_cannot_be_watched_is_not_left_behind(
    start: Start, monkeypatch: pytest.MonkeyPatch, gone: Callable[[int], bool]
) -> None:
    pids: list[int] = []

    def fail(pid: int) -> int:
        pids.append(pid)
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr(exits, "open_exit_fd", fail)  # descriptors run out between two calls: not to be had
    with pytest.raises(ProcessSpawnFailed, match="Too many open files"):
        start("sleep", "60")
    assert gone(pids[0])


FORKS_NO_MORE = """
import anyio, os, resource, sys
from pathlib import Path
from hostler.errors import ProcessSpawnFailed
from hostler.model.launch import Launch
from hostler.model.choices import OutputMode
from hostler.process.spawn.spawn import spawn

async def main():
    here = Path("/")
    launch = Launch(server="s", generation=1, argv=["true"], cwd=here, env={"PATH": "/usr/bin:/bin"},
                    host="", port=None, data_dir=here, cache_dir=here,
                    stdout=OutputMode.IGNORE, stderr=OutputMode.IGNORE)
    spawn(launch, run_id="r", stdout_fd=None, stderr_fd=None)
    resource.setrlimit(resource.RLIMIT_NPROC, (1, 1))
    os.setresgid(54321, 54321, 54321)
    os.setresuid(54321, 54321, 54321)
    try:
        spawn(launch, run_id="r", stdout_fd=None, stderr_fd=None)
    except ProcessSpawnFailed as error:
        print(error.permanent, error)

anyio.run(main)
"""


@needs_root
def test_a_fork_that_fails_may_be_tried_again() -> None:
    result = subprocess.run([sys.executable, "-c", FORKS_NO_MORE], capture_output=True, text=True, check=True)

    assert result.stdout.startswith("False cannot start true: Resource temporarily unavailable")
    assert "ulimit -u" in result.stdout


def test_a_file_that_is_missing_beside_the_program_is_named() -> None:
    error = explain(FileNotFoundError(errno.ENOENT, "gone", "/dev/null"), "/usr/bin/sleep")
    assert error.message == "cannot start /usr/bin/sleep: No such file or directory: /dev/null"
    assert "see that /dev/null is there" in error.context.hint
    error = explain(FileNotFoundError(errno.ENOENT, "gone", "sleep"), "/usr/bin/sleep")
    assert error.message == "cannot start /usr/bin/sleep: No such file or directory"
