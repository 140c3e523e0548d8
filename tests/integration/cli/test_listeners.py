"""`[listeners]` in a file, as `hostler check`, `show` and `run` have it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hostler_process import Run

LISTENER = '''
from dataclasses import dataclass
from pathlib import Path
import json

from hostler import Secret, option


@dataclass(eq=False)
class Writer:
    """Writes what it gets."""

    path: Path = option(..., "where to")
    url: str | Secret = option("", "who", secret=True)
    bound: str = option("x", "a default")

    async def listen(self, events, context):
        with self.path.open("w") as file:
            async for event in events:
                print(json.dumps(event.as_dict()), file=file, flush=True)
'''
FILE = """\
[servers.task]
command = ["true"]
kind = "task"

[listeners.writer]
use = "my.py:Writer"
path = "{folder}/out"
url = {url}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "my.py").write_text(LISTENER)
    return tmp_path


def write(folder: Path, url: str) -> None:
    (folder / "hostler.toml").write_text(FILE.format(folder=folder, url=url))


def test_a_listener_of_a_file_gets_all_events_of_a_run(run: Run, folder: Path) -> None:
    write(folder, '"https://h.example/T0K3N-of-a-channel"')
    assert run("run").returncode == 0
    events = [json.loads(line) for line in (folder / "out").read_text().splitlines()]
    states = [event["state"] for event in events if event["event"] == "state"]
    assert (states[0], states[-1]) == ("starting", "stopped")


def test_what_a_webhook_cannot_deliver_is_told_under_its_name_and_without_its_address(
    run: Run, folder: Path
) -> None:
    quick = 'initial_delay = "10ms"\nretry_for = "100ms"\n'
    (folder / "hostler.toml").write_text(
        "[servers.task]\ncommand = ['true']\nkind = 'task'\n"
        f"[listeners.webhook]\nurl = 'http://127.0.0.1:9/T0K3N-of-a-channel'\nevents = ['state']\n{quick}"
    )
    done = run("run")
    assert done.returncode == 0
    told = [line for line in (done.stdout + done.stderr).splitlines() if line.startswith("webhook: ")]
    assert told[0].startswith("webhook: events cannot be delivered: no connection")
    assert " not delivered: no connection" in told[-1]
    assert "T0K3N" not in done.stdout + done.stderr


def test_check_tells_mistakes_of_listeners_with_their_places_beside_those_of_servers(
    run: Run, folder: Path
) -> None:
    (folder / "hostler.toml").write_text(
        "[servers.task]\ncommand = ['true']\nprot = 1\n"
        "[listeners.webhook]\nevents = ['state']\n[listeners.webhok]\nurl = 'x'\n"
    )
    done = run("check")
    assert done.returncode == 2
    assert [line.partition(" ")[0] for line in done.stderr.splitlines()] == [
        "hostler.toml:3:",
        "hostler.toml:4:",
        "hostler.toml:6:",
    ]


def test_check_names_listeners_and_a_secret_that_is_not_there(run: Run, folder: Path) -> None:
    write(folder, '"https://h.example/T0K3N-of-a-channel"')
    done = run("check")
    assert done.stdout == "hostler.toml: OK, 1 server: task; listeners: writer\n"
    write(folder, '{ secret = "env:NO_SUCH_URL" }')
    done = run("check")
    assert done.returncode == 2
    assert "hostler.toml:8: listeners.writer.url: cannot read secret env:NO_SUCH_URL" in done.stderr
    write(folder, '"${NO_SUCH_URL}"')
    for command in ("check", "run"):
        done = run(command)
        assert done.returncode != 0
        assert "hostler.toml:8: listeners.writer.url: ${NO_SUCH_URL} is not defined" in done.stderr


def test_show_has_listeners_and_no_secret_address(run: Run, folder: Path) -> None:
    write(folder, '"https://h.example/T0K3N-of-a-channel"')
    shown = run("show").stdout
    assert "[listeners.writer]" in shown
    assert "T0K3N" not in shown
    assert "[listeners" not in run("show", "task").stdout
    origins = run("show", "--origin").stdout
    assert "T0K3N" not in origins
    assert f'listeners.writer.path = "{folder}/out"' in origins
    (line,) = [line for line in origins.splitlines() if "listeners.writer.bound" in line]
    assert line.split("  ")[0] == 'listeners.writer.bound = "x"'
    assert line.endswith("# default of the plugin")
    write(folder, '"${NO_SUCH_URL}"')
    assert run("show").stdout.startswith("# unset: hostler.toml:8: listeners.writer.url")
