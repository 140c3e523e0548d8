"""Marks of runs for tests that end whoever bears one, on the whole machine."""

from __future__ import annotations

import os


def mark(name: str) -> str:
    """The id of a run that no other run of the tests on this machine has."""
    return f"{name}-{os.getpid()}"
