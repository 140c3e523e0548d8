"""What is wanted of a server: what each command and each end leaves of what was wanted before."""

from __future__ import annotations

import anyio
import pytest
from hostler.engine.desired_state import DesiredState

pytestmark = pytest.mark.anyio


def desired_up() -> DesiredState:
    desired = DesiredState()
    desired.up(starts=True)
    desired.begin_run()
    return desired


def test_a_stop_ends_this_run_even_when_a_start_follows() -> None:
    desired = desired_up()
    desired.down(1, "enough")
    assert (desired.ends(1), desired.ends(2), desired.stop_reason) == (True, True, "enough")
    desired.up(starts=True)
    assert (desired.ends(1), desired.ends(2), desired.stop_reason) == (True, False, "")


def test_a_restart_ends_this_run_only_and_the_next_start_is_planned() -> None:
    desired = desired_up()
    desired.restart(1, "db was restarted")
    assert (desired.ends(1), desired.ends(2), desired.ending_command) == (True, False, "restart asked for")
    assert (desired.take_planned(), desired.take_planned()) == (True, False)


def test_a_stop_beats_a_planned_restart() -> None:
    desired = desired_up()
    desired.restart(1)
    desired.down(1, "")
    assert (desired.is_up, desired.take_planned(), desired.ending_command) == (False, False, "stop asked for")


async def test_a_start_is_taken_once_and_asked_for_again_by_a_rest_while_it_is_wanted_up() -> None:
    desired = DesiredState()
    desired.up(starts=True)
    await desired.wait_start_requested()
    assert not desired.start_requested

    with anyio.move_on_after(0):
        await desired.wait_start_requested()
        pytest.fail("it was taken twice")

    desired.note_stopped()
    assert desired.start_requested


def test_what_is_done_stays_down_unless_it_was_started_again_meanwhile() -> None:
    desired = desired_up()
    desired.done(task=True)
    assert (desired.is_up, desired.completed) == (False, True)
    desired.up(starts=True)
    desired.done(task=True)
    assert (desired.is_up, desired.completed) == (True, False)


def test_every_command_forgets_which_needed_servers_are_away() -> None:
    desired = desired_up()
    desired.suspend_for("db")
    desired.suspend_for("cache")
    desired.resume_for("cache")
    assert desired.suspended_for == {"db"}
    desired.down(1, "")
    assert not desired.suspended_for
