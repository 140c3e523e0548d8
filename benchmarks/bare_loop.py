"""The yardstick of respawn.py: the least that Python can do to keep one child up.

    python bare_loop.py PROGRAM [ARGUMENTS]

A pidfd tells the end, waitpid reaps, Popen starts the next: the same prefix and session as with hostler, and
no log, no budget, no record, no look for what the child left behind.
"""

from __future__ import annotations

import os
import select
import shutil
import subprocess
import sys


def main() -> None:
    setpriv = shutil.which("setpriv")
    prefix = [setpriv, "--pdeathsig", "KILL", "--no-new-privs", "--"] if setpriv else []
    argv = [*prefix, *sys.argv[1:]]

    while True:
        child = subprocess.Popen(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        pidfd = os.pidfd_open(child.pid)
        select.select([pidfd], [], [])
        child.wait()
        os.close(pidfd)


if __name__ == "__main__":
    main()
