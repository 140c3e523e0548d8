"""Programs in namespaces of their own; skipped where `unshare` may not make them, as below `chroot`."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping, Sequence

import pytest


def unshared(argv: Sequence[str], env: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """The outcome of `unshare ARGV`; skips where there are no such namespaces."""
    whole = ["unshare", *argv]
    done = subprocess.run(whole, capture_output=True, text=True, check=False, timeout=60, env=env)
    if done.stderr.startswith("unshare: "):
        pytest.skip(f"no namespaces for us here: {done.stderr.strip()}")
    return done
