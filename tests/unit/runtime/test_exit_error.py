"""What is said of a server that ended by itself: it went to the background, it misses a variable."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import anyio
import pytest
from hostler import Directories, Kind, Notice, ServerCrashed, ServerSpec, State, Supervisor
from specs import QUICK

ONCE = replace(QUICK, start_retries=0, max_restarts=0)
DAEMON = """
import os, time
for step in range(2):
    if os.fork(): os._exit(0)
    if step == 0: os.setsid()
time.sleep(60)
"""
BACKGROUND = [
    ("sh", "-c", "sleep 60 &"),
    ("sh", "-c", "nohup sleep 60 >/dev/null 2>&1 & exit 0"),
    ("setsid", "sleep", "60"),
    (sys.executable, "-I", "-S", "-c", DAEMON),
]


async def failure_of(spec: ServerSpec, directories: Directories) -> ServerCrashed:
    async with Supervisor(spec, directories=directories) as supervisor:
        server = supervisor[spec.name]
        with anyio.fail_after(30):
            await server.until(lambda: server.state is State.FAILED)
        assert isinstance(server.error, ServerCrashed)
        return server.error


@pytest.mark.parametrize("command", BACKGROUND, ids=["&", "nohup", "setsid", "double fork"])
async def test_a_server_that_goes_to_the_background_is_named_as_such_with_the_cure(
    directories: Directories, command: tuple[str, ...]
) -> None:
    spec = ServerSpec(name="old", command=command, restart=ONCE)
    error = await failure_of(spec, directories)
    assert "it went to the background: its main process ended with exit code 0" in error.message
    assert "run it in the foreground" in error.context.hint
    assert isinstance(error.context.details["pids"], list)


@pytest.mark.parametrize("kind", [Kind.SERVER, Kind.TASK])
async def test_one_that_has_done_its_work_and_left_some_in_the_background_is_told_so(
    directories: Directories, kind: Kind
) -> None:
    notices: list[str] = []
    spec = ServerSpec(name="job", command=("sh", "-c", "sleep 60 &"), port=None, kind=kind)
    async with Supervisor(spec, directories=directories) as supervisor:
        supervisor.listen(lambda event: notices.append(event.text) if isinstance(event, Notice) else None)
        with anyio.fail_after(30):
            await supervisor["job"].wait_stopped()
        assert supervisor["job"].state is State.STOPPED

    (notice,) = notices
    assert notice.startswith("it went to the background")
    assert "run it in the foreground" in notice


async def test_a_server_that_ends_with_0_alone_did_not_go_to_the_background(directories: Directories) -> None:
    spec = ServerSpec(name="short", command=("sh", "-c", "exit 0"), restart=ONCE)
    error = await failure_of(spec, directories)
    assert error.message.startswith("it exited unexpectedly before it was ready: exit code 0")


@pytest.mark.parametrize(
    "words",
    [
        "sh: 1: SITE_FOLDER: parameter not set",
        "KeyError: 'SITE_FOLDER'",
        "Error: Missing environment variable SITE_FOLDER",
        "error: Environment variable not found: SITE_FOLDER.",
        "1 validation error for Settings\nsite_folder\n  Field required [type=missing]",
        "bash: SITE_FOLDER: unbound variable",
        "SITE_FOLDER is undefined",
    ],
)
async def test_a_withheld_variable_that_the_last_words_miss_is_named_with_the_line_that_hands_it_on(
    directories: Directories, monkeypatch: pytest.MonkeyPatch, words: str, tmp_path: Path
) -> None:
    monkeypatch.setenv("SITE_FOLDER", "/srv/site")
    monkeypatch.setenv("OTHER_FOLDER", "/srv/other")
    (tmp_path / "words").write_text(words)
    script = "cat words >&2; exit 1"
    spec = ServerSpec(name="app", command=("sh", "-c", script), cwd=tmp_path, port=None, restart=ONCE)
    hint = (await failure_of(spec, directories)).context.hint
    assert hint.startswith("SITE_FOLDER is set for hostler, but withheld from the server; add to its env:")
    assert 'SITE_FOLDER = "${SITE_FOLDER}"' in hint
    assert "OTHER_FOLDER" not in hint


async def test_a_withheld_secret_is_handed_on_as_one(
    directories: Directories, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgres://localhost/dev")
    command = ("sh", "-uc", "echo $DATABASE_URL")
    spec = ServerSpec(name="app", command=command, port=None, restart=ONCE)
    error = await failure_of(spec, directories)
    assert 'DATABASE_URL = { secret = "env:DATABASE_URL" }' in error.context.hint


async def test_a_variable_that_the_server_has_or_only_mentions_is_not_called_withheld(
    directories: Directories, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SITE_FOLDER", "/srv/site")
    monkeypatch.setenv("OTHER_FOLDER", "/srv/other")
    script = "echo SITE_FOLDER must be an absolute path; for i in 1 2 3 4 5; do echo; done; echo OTHER_FOLDER"
    command, env = ("sh", "-c", f"{script}; exit 1"), {"SITE_FOLDER": "site"}
    spec = ServerSpec(name="app", command=command, env=env, port=None, restart=ONCE)
    assert "withheld" not in (await failure_of(spec, directories)).context.hint
