"""What the tests of listeners share: processes of other users, and trees that are made of named processes."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass

import pytest
from hostler.process.spawn.exits import Process
from hostler.process.system import Processes

SERVER, THIEF = 2001, 2002

as_root = pytest.mark.skipif(
    sys.platform != "linux" or os.geteuid() != 0, reason="needs Linux, and root to be several users"
)


class Tree(Processes):
    """A tree of the processes that are named."""

    def __init__(self, *pids: int) -> None:
        self.pids = list(pids)

    def members(self, process: Process) -> list[int]:
        return self.pids


@dataclass
class Leader:
    pid: int

    def alive(self) -> bool:
        return True


LISTENER = """
import os, socket, sys
os.setgid({uid}); os.setuid({uid})
one = socket.create_server(("127.0.0.1", 0))
print(one.getsockname()[1], flush=True)
sys.stdin.read()
"""
