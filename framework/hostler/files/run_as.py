"""Running a tool of the system as another user, who may take it over while it runs."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Sequence
from contextlib import suppress

from hostler.files.bounded_read import read_pipe
from hostler.files.session_keyring import leave_session_keys


def run_as(
    uid: int, gid: int, groups: Sequence[int], argv: Sequence[str], *, most: int, seconds: float
) -> tuple[int, bytes]:
    """Its exit code, and the first `most` bytes of its output; takes root.

    Raises OSError when it cannot be started, and TimeoutError when it is not done in time.
    """
    from concurrent.futures import ThreadPoolExecutor  # noqa: PLC0415 - `hostler check` seldom needs it

    # Whoever has its user can trace it and act in its name. So it gets nothing of ours: no terminal (it has a
    # session of its own), no environment, no descriptors, no keys.
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(_run, uid, gid, groups, argv, most, seconds).result()


def _run(
    uid: int, gid: int, groups: Sequence[int], argv: Sequence[str], most: int, seconds: float
) -> tuple[int, bytes]:
    import subprocess  # noqa: PLC0415

    leave_session_keys()  # of this thread alone, which ends with the child
    until = time.monotonic() + seconds
    child = subprocess.Popen(
        argv,
        user=uid,
        group=gid,
        extra_groups=groups,
        env={},
        cwd="/",
        start_new_session=True,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        bufsize=0,
    )
    with child:
        try:
            data = read_pipe(child.stdout.fileno(), most, seconds) if child.stdout else b""
            return child.wait(max(0.0, until - time.monotonic())), data
        except subprocess.TimeoutExpired:
            raise TimeoutError from None
        finally:
            if child.returncode is None:
                with suppress(ProcessLookupError):
                    os.killpg(child.pid, signal.SIGKILL)
