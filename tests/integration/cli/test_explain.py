"""`hostler explain`: why a server is in its state, told by what is on disk."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from crashes import NOON, crash
from hostler import State
from hostler.cli.explain import explained
from hostler.process.disk.lock import Owner
from hostler.process.disk.run_record import RunRecord, boot_id
from hostler.process.tree.process_table import start_time
from hostler.records.inspect import ServerInspection
from hostler.records.status_store import Status
from hostler_process import Configure, Run, Start, server_table
from msgspec import structs

OURSELVES = os.getpid()
OWNER = Owner(OURSELVES, start_time(OURSELVES), "ns", "fake")
KEPT = f"supervised by hostler (pid {OURSELVES})"


def status(state: State, **changes: Any) -> Status:
    given = Status(
        server="fake",
        state=state,
        since=NOON,
        generation=1,
        supervisor_pid=OURSELVES,
        supervisor_start=start_time(OURSELVES),
        boot_id=boot_id(),
    )
    return replace(given, **changes)


def told(**known: Any) -> str:
    """The explanation, with noon as the time of the day wherever we are."""
    text = "\n".join(explained(ServerInspection(server="fake", now=NOON, **known)))
    return text.replace(f"{NOON.astimezone():%H:%M:%S}", "12:00:00")


def test_the_log_file_of_the_last_start_is_given() -> None:
    assert told(owner=OWNER, status=status(State.STARTING, log_file="/var/log/web.log")).endswith(
        "is not finished.\nLog file: /var/log/web.log"
    )


def test_each_state_of_a_server_that_is_kept_has_its_sentence() -> None:
    running = status(State.RUNNING, pid=552, url="http://127.0.0.1:1", health=("healthy (sse-health)",))
    assert told(owner=OWNER, status=running) == (
        f"fake is running: pid 552 since 12:00:00, at http://127.0.0.1:1, {KEPT}. "
        "Health: healthy (sse-health)."
    )
    assert told(owner=OWNER, status=status(State.RUNNING, pid=552)) == (
        f"fake is running: pid 552 since 12:00:00, {KEPT}."
    )
    assert told(owner=OWNER, status=status(State.WAITING_READY, pid=552)) == (
        "fake is not ready yet: pid 552 was started at 12:00:00, 0.0 s ago (without a known address), "
        f"{KEPT}."
    )
    assert told(owner=OWNER, status=status(State.STARTING)) == (
        f"fake has been starting since 12:00:00, {KEPT}: a step before its start "
        "(an installation, a server that it needs) is not finished."
    )
    assert told(owner=OWNER, status=status(State.STOPPING, reason="stop asked for")) == (
        f"fake has been stopping since 12:00:00, {KEPT}. The reason: stop asked for."
    )
    assert told(owner=OWNER, status=status(State.CRASHED)) == (
        f"fake has just exited unexpectedly, at 12:00:00, and is being cleaned up, {KEPT}."
    )
    assert told(owner=OWNER, status=status(State.STOPPED)) == (
        f"fake has been stopped since 12:00:00; hostler (pid {OURSELVES}) will start it again."
    )


def test_a_hook_that_is_out_of_use_is_told() -> None:
    running = status(State.RUNNING, pid=552, hooks_out=("on_ready of caddy: KeyError: 'x'",))
    assert told(owner=OWNER, status=running).endswith(
        "Disabled until a stop and a start, after three failures in a row: on_ready of caddy: KeyError: 'x'."
    )


def test_the_address_of_a_server_that_is_not_ready_comes_from_the_run_record() -> None:
    waiting = status(State.WAITING_READY, pid=552)
    run = structs.replace(RunRecord.begin("id", "ns", "fake", argv=()), url="http://127.0.0.1:2")
    assert "(at http://127.0.0.1:2)" in told(owner=OWNER, status=waiting, run=run)


def test_a_server_that_waits_for_its_next_start_tells_when() -> None:
    soon = crash(next_try=NOON + timedelta(seconds=4), when=NOON)
    text = told(owner=OWNER, status=status(State.BACKOFF), crashes=[soon])
    assert text.startswith(
        f"fake has been waiting for its next start since 12:00:00, {KEPT}. "
        "1 of 5 restarts are used; the next try is in 4.0 s, at "
    )
    assert (
        "\nIt exited unexpectedly once in the last hour, the last time at 12:00:00: exit code 3 after 3.8 s, "
        in text
    )
    assert "\nThe last lines of stderr were:\n    err\n" in text
    assert text.endswith("\nWhat to do: look at it.")
    assert "the next try is now" in told(
        owner=OWNER, status=status(State.BACKOFF), crashes=[crash(next_try=NOON)]
    )
    assert told(owner=OWNER, status=status(State.BACKOFF)).endswith(f"{KEPT}.")


def test_a_failed_server_tells_its_last_crash_and_what_to_do() -> None:
    last = crash(outcome=State.FAILED, decision="gave up after 5 restarts", next_try=None, stderr="")
    assert told(status=status(State.FAILED), crashes=[last]) == (
        "fake failed at 12:00:00: it gave up after 5 restarts. "
        "The last time: it exited unexpectedly while it ran: exit code 3 after 3.8 s. "
        "It has not been started since.\n"
        "It exited unexpectedly once in the last hour, the last time at 12:00:00: exit code 3 after 3.8 s, "
        "then failed: gave up after 5 restarts.\n"
        "The last lines of stdout were:\n    out\n"
        "What to do: look at it."
    )
    never = replace(last, decision="it never became ready")
    assert "failed at 12:00:00: it never became ready." in told(status=status(State.FAILED), crashes=[never])


def test_a_failed_server_without_its_record_tells_what_the_state_says() -> None:
    failed = status(State.FAILED, generation=2, reason="gave up after 5 restarts: it died")
    assert told(status=failed, crashes=[crash()]).startswith(
        "fake failed at 12:00:00: gave up after 5 restarts: it died.\n"
    )
    assert "last lines" not in told(status=failed, crashes=[crash()])


def test_a_stopped_server_says_since_when_and_why() -> None:
    assert told(status=status(State.STOPPED)) == (
        "fake has been stopped since 12:00:00: a stop was requested. It has not been started since."
    )
    done = status(State.STOPPED, reason="it has done its work")
    assert "since 12:00:00: it has done its work." in told(status=done)
    assert told() == "fake is stopped: it has not been started yet, as far as hostler knows."


def test_a_server_whose_hostler_was_killed_is_down() -> None:
    lost = status(State.RUNNING, pid=552, supervisor_start=-1.0)
    assert told(status=lost) == (
        "fake is down, though nobody stopped it: it was running (since 12:00:00) "
        f"when its hostler (pid {OURSELVES}) was killed, or ended without recording it."
    )
    assert "when the machine went down" in told(status=replace(lost, boot_id="another"))
    assert "released it" in told(status=status(State.WAITING_READY))
    run = structs.replace(
        RunRecord.begin("id", "ns", "fake", argv=()), pid=OURSELVES, start_time=start_time(OURSELVES)
    )
    assert f"Its process still runs: pid {OURSELVES};" in told(status=lost, run=run)
    assert "still lives" not in told(status=lost, run=structs.replace(run, boot_id="another"))


def test_a_server_whose_state_is_not_on_record_is_told_by_its_lock_and_its_run() -> None:
    run = structs.replace(
        RunRecord.begin("id", "ns", "fake", argv=()), pid=OURSELVES, start_time=start_time(OURSELVES)
    )
    head = f"fake is supervised by hostler (pid {OURSELVES}), which has not recorded its state. "
    assert told(owner=OWNER) == head + "It has no process now."
    assert told(owner=OWNER, run=run) == head + f"Its process is pid {OURSELVES}."
    foreign = status(State.FAILED, supervisor_pid=1)
    run = structs.replace(run, url="http://x")
    assert (
        told(owner=OWNER, status=foreign, run=run) == head + f"Its process is pid {OURSELVES}, at http://x."
    )


@pytest.mark.parametrize(("count", "times"), [(2, "twice"), (3, "3 times"), (20, "at least 20 times")])
def test_crashes_of_the_last_hour_are_counted(count: int, times: str) -> None:
    old = [crash(when=NOON - timedelta(days=1))] if count < 20 else []
    text = told(owner=OWNER, status=status(State.RUNNING), crashes=[*old, *[crash()] * count])
    assert f"It exited unexpectedly {times} in the last hour, the last time at 12:00:00: " in text
    assert "last lines" not in text


def test_an_old_crash_is_told_with_its_date() -> None:
    text = told(owner=OWNER, status=status(State.RUNNING), crashes=[crash(when=NOON - timedelta(days=30))])
    assert "\nIt last exited unexpectedly at 2025-12-03 " in text


def test_what_plugins_complained_of_and_who_killed_it_are_clues() -> None:
    word = crash().plugins[0]
    killed = crash(signal=9, how="killed by SIGKILL", plugins=(word, replace(word, text="unhealthy: 503")))
    text = told(status=status(State.FAILED), crashes=[killed])
    assert "\nThe plugins reported:\n    sse-health: unhealthy: 503\n" in text
    assert "hostler did not kill it: another process did, or the kernel for lack of memory" in text
    assert "did not kill it" not in told(status=status(State.FAILED), crashes=[replace(killed, killed=True)])
    assert "What to do" not in told(
        status=status(State.FAILED), crashes=[crash(hint="", stdout="", stderr="")]
    )


# -- real ones -------------------------------------------------------------------------------------

Until = Callable[..., str]


@pytest.fixture
def until(run: Run) -> Until:
    """Explain again and again until a text is told."""

    def wait(text: str, *words: str) -> str:
        deadline = time.monotonic() + 20
        while text not in (done := run("explain", *words)).stdout:
            assert time.monotonic() < deadline, (done.stdout, done.stderr)
            assert done.returncode == 0
        return done.stdout

    return wait


def test_the_life_of_a_real_server_is_explained(configure: Configure, start: Start, until: Until) -> None:
    # The delay is shortened at random: of an hour, enough is left to be seen.
    configure(restart='{ initial_delay = "1h", max_delay = "1h", max_restarts = 1 }', stdout='"capture"')
    assert "it has not been started yet" in until("fake is stopped")
    hostler = start("run")
    pid = hostler.wait_for("fake server started").partition("pid ")[2].partition(",")[0]
    text = until("fake is running")
    assert f"pid {pid} since " in text
    assert f"supervised by hostler (pid {hostler.process.pid})." in text
    assert "at http://127.0.0.1:" in text
    os.kill(int(pid), signal.SIGKILL)
    text = until("fake has been waiting for its next start")
    assert "1 of 1 restarts are used; the next try is " in text
    assert "killed by SIGKILL after " in text
    assert "hostler did not kill it" in text
    hostler.send(signal.SIGTERM)
    assert hostler.end() == 0
    text = until("fake has been stopped since ")
    assert "It has not been started since." in text
    assert "once in the last hour" in text


def test_a_killed_hostler_is_told(configure: Configure, start: Start, until: Until, tmp_path: Path) -> None:
    configure()
    hostler = start("run")
    hostler.wait_for("fake server started")
    until("fake is running")
    hostler.send(signal.SIGKILL)
    hostler.end()
    text = until(f"when its hostler (pid {hostler.process.pid}) was killed", str(tmp_path / "hostler.toml"))
    assert "fake is down, though nobody stopped it: it was running" in text


def test_a_failed_server_is_explained_from_its_file_alone(
    configure: Configure, run: Run, until: Until
) -> None:
    configure("--exit-after", "0.2", "--print-error", "boom", restart="{ max_restarts = 0 }")
    run("run")
    text = until("fake failed at ", "hostler.toml", "fake")
    assert "it gave up after 0 restarts." in text
    assert "    boom\n" in text


def test_without_a_name_all_are_explained(configure: Configure, run: Run) -> None:
    configure(text=server_table() + server_table(name="other"))
    first, second = run("explain").stdout.split("\n\n")
    assert (first.startswith("fake is stopped"), second.startswith("other is stopped")) == (True, True)


def test_a_look_disturbs_nobody_and_makes_nothing(configure: Configure, run: Run, tmp_path: Path) -> None:
    configure()
    run("explain")
    run("crashes")
    assert [path.name for path in tmp_path.iterdir()] == ["hostler.toml"]
