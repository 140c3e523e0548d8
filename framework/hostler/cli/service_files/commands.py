"""Calls of systemctl and launchctl."""

from __future__ import annotations

import shlex
import subprocess
from collections.abc import Iterable, Sequence

from hostler.cli.client.daemon import ClientError
from hostler.cli.service_files.definition import Service
from hostler.cli.service_files.init_system import InitSystem


def state_of(manager: InitSystem, service: Service) -> str:
    """How a service is: "active", "inactive", "failed". Raises ClientError where the manager is not there."""
    argv = manager.ask(service)
    done = _run(manager, argv)
    state = manager.state(done.returncode, done.stdout)
    if not state:
        reason = next(iter(done.stderr.strip().splitlines()), f"exit code {done.returncode}")
        raise _unreachable(manager, f"`{shlex.join(argv)}`: {reason}")
    return state


def call(manager: InitSystem, commands: Sequence[Sequence[str]]) -> None:
    """Run commands one after the other. Raises ClientError with what is left to be done."""
    for place, argv in enumerate(commands):
        done = _run(manager, argv)
        if done.returncode != 0:
            # What systemd has done before it failed is no reason.
            lines = [line for line in done.stderr.splitlines() if not line.startswith("Created symlink")]
            text = "\n".join(lines).strip() or f"exit code {done.returncode}"
            hint = f"when that is mended: {as_line(commands[place:])}"
            raise ClientError("failed", f"`{shlex.join(argv)}`: {text}", hint=hint)


def as_line(commands: Iterable[Sequence[str]]) -> str:
    """Commands as one line for a shell."""
    return " && ".join(map(shlex.join, commands))


def _run(manager: InitSystem, argv: Sequence[str]) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(
            argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace", check=False
        )
    except OSError as error:
        raise _unreachable(manager, f"{argv[0]}: {error.strerror}") from None


def _unreachable(manager: InitSystem, why: str) -> ClientError:
    return ClientError("unreachable", f"{manager.name} cannot be talked to: {why}")
