"""Whether this machine could run what a configuration asks for: programs, ports, users."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from functools import partial

from msgspec.structs import replace

from hostler.config.preflight.observation import Observation, failure
from hostler.errors import EnvironmentSetupFailed, ServerError
from hostler.launching.server_user import account_of
from hostler.model.launch import Launch
from hostler.model.spec import ServerSpec
from hostler.process.spawn.executable import check_directory, find_program
from hostler.process.tree.procfs import check_proc, doubt


def process_problems() -> Iterator[Observation]:
    """Whether what is started could be found and ended here."""
    for one in failure("", check_proc):
        yield replace(one, message=f"nothing can be started: {one.message}")
        return
    if sys.platform == "linux" and (text := doubt()):
        yield Observation("", text, "warning")


def program_problems(launch: Launch, key: str) -> Iterator[Observation]:
    """Whether its folder and its program are there, for the user that it is started as."""
    # In a folder that is missing no program is found either: one mistake, reported once.
    folder = [*failure(f"{key}.cwd", lambda: check_directory(launch.cwd))]
    yield from folder
    try:
        account = account_of(launch)
    except EnvironmentSetupFailed:
        return  # there is no such user: reported on its own
    find = partial(find_program, launch.argv[0], cwd=launch.cwd, env=launch.env, account=account)
    yield from () if folder else failure(f"{key}.command", find)


def fixed_port_problems(spec: ServerSpec, key: str) -> Iterator[Observation]:
    """Warn of a port that somebody has."""
    from hostler.process.net.ports import check_port_free, needs_only_time  # noqa: PLC0415 - only a fixed port is looked at

    assert spec.port
    try:
        if not needs_only_time(spec.host, spec.port, reuse=True):
            check_port_free(spec.host, spec.port)
    except ServerError as error:
        yield Observation(key, error.message, "warning")  # it may be this very server, that runs


def account_problems(spec: ServerSpec, key: str) -> Iterator[Observation]:
    """Whether its user and its group are there."""
    if spec.user is None and spec.group is None:
        return
    from hostler.process.spawn.privileges import find_account  # noqa: PLC0415 - few servers have another user

    which = "group" if spec.user is None else "user"
    yield from failure(f"{key}.{which}", lambda: find_account(spec.user, spec.group))
