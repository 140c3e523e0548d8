"""Whether bubblewrap works here, and folders that a sandbox does not replace."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

BWRAP = shutil.which("bwrap")
_TRIAL = ["bwrap", "--ro-bind", "/", "/", "--unshare-pid", "--proc", "/proc", "/bin/true"]
BWRAP_WORKS = BWRAP is not None and subprocess.run(_TRIAL, capture_output=True, check=False).returncode == 0
needs_bwrap = pytest.mark.skipif(
    not BWRAP_WORKS, reason="bubblewrap is not installed, or the kernel refuses it here"
)


@contextmanager
def folder_outside_tmp() -> Iterator[Path]:
    """A folder that every user may enter and that is not in /tmp, which a sandbox has for itself."""
    made = subprocess.check_output(["mktemp", "-d", "/var/tmp/hostler-test-XXXXXXXX"], text=True)
    folder = Path(made.strip())
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)
