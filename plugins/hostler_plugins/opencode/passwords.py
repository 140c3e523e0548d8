"""The password of the server: chosen, passed by variable or file, and verified."""

from __future__ import annotations

import secrets
from collections.abc import Container
from enum import Enum
from pathlib import Path

from hostler import Auth, EnvironmentSetupFailed, Launch, ServerView

from hostler_plugins.opencode.client import Place, status_of
from hostler_plugins.opencode.environment import own_folder

VARIABLE = "OPENCODE_SERVER_PASSWORD"
USER_VARIABLE = "OPENCODE_SERVER_USERNAME"
USER = "opencode"
_RANDOM_BYTES = 24


def new_password() -> str:
    """A random password."""
    return secrets.token_urlsafe(_RANDOM_BYTES)


def hand_by_environment(launch: Launch, configured: Container[str], own: str | None) -> Auth | None:
    """Give the server the configured password, else our own; None where it gets none.

    An empty one in the configured environment asks for none.
    """
    password = launch.env.get(VARIABLE, "") if VARIABLE in configured else own
    if not password:
        launch.env.pop(VARIABLE, None)
        return None
    user = (launch.env.get(USER_VARIABLE, "") if USER_VARIABLE in configured else "") or USER
    launch.env[USER_VARIABLE] = user
    launch.set_secret(VARIABLE, password)
    return Auth(user, password)


async def hand_by_file(server: ServerView, launch: Launch, configured: Container[str], own: str) -> Auth:
    """The password that the 2.x server keeps in a file, which is made first where there is none.

    Others may use the one that is there, so it stays. It is read and made as the server: what its user
    links or puts there leads no further than that user. Raises EnvironmentSetupFailed.
    """
    path = launch.cwd / own_folder(launch.env, "XDG_STATE_HOME") / "password"
    wanted = (launch.env.get(VARIABLE, "") if VARIABLE in configured else "") or own

    try:
        password = await _read(server, path)
        if not password:
            made = await server.create_file(path, wanted)
            password = wanted if made else await _read(server, path)
    except OSError as error:
        raise EnvironmentSetupFailed(
            f"OpenCode's password file {path} cannot be used: {error.strerror}",
            hint="give the user permission to read and write it, or set XDG_STATE_HOME in env",
            details={"path": str(path)},
            permanent=True,
        ) from error

    # Later versions may take it from the variable as well: both say the same.
    launch.set_secret(VARIABLE, password)
    return Auth(USER, password)


async def _read(server: ServerView, path: Path) -> str:
    try:
        return await server.read_file(path)
    except FileNotFoundError:
        return ""


class Verdict(Enum):
    """What an attempt to get in showed."""

    ASKED = "the password is asked for"
    IGNORED = "the server answers without a password"
    REFUSED = "the server refuses the password it was given"


async def try_out(place: Place, auth: Auth, deadline: float) -> Verdict:
    """Ask once without and once with the password; OSError or TimeoutError while nobody answers in time."""
    # Versions before 1.1.34 ignore the password without a word: only a request without it shows that.
    if await status_of(place, None, deadline=deadline) not in {401, 403}:
        return Verdict.IGNORED
    answered = await status_of(place, auth, deadline=deadline)
    return Verdict.REFUSED if answered in {401, 403} else Verdict.ASKED
