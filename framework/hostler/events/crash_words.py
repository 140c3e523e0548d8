"""Crash records in words."""

from __future__ import annotations

from hostler.events.crash import CrashRecord
from hostler.model.states import State


def how_it_ended(record: CrashRecord) -> str:
    """How it ended: "killed by SIGKILL", and whether that was hostler."""
    return f"{record.how}, ended by hostler" if record.killed else record.how


def which_try(used: int, allowed: int) -> str:
    """The try that comes after a first start has failed: "try 2 of 2"."""
    return f"try {used + 1} of {allowed + 1}"


def spent(record: CrashRecord) -> str:
    """What was used up by then: "3 of 5 restarts used", "1 of 2 tries used"."""
    used, allowed = record.restarts_used, record.restarts_allowed
    if record.first_start:  # a retry that is planned has not been made
        return f"{used + (record.outcome is not State.BACKOFF)} of {allowed + 1} tries used"
    return f"{used} of {allowed} restarts used"


def what_followed(record: CrashRecord) -> str:
    """What was decided after a crash: "restart 3 of 5", "try 2 of 2", "failed: gave up after 5 restarts"."""
    if record.outcome is State.BACKOFF and record.first_start:
        return which_try(record.restarts_used, record.restarts_allowed)
    if record.outcome is State.BACKOFF:
        return f"restart {record.restarts_used} of {record.restarts_allowed}"
    return f"{record.outcome.value}: {record.decision}" if record.decision else record.outcome.value
