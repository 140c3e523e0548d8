"""A variable that is not set: only the server that refers to it cannot do without."""

from __future__ import annotations

from pathlib import Path

import pytest
from hostler import Directories, InvalidConfiguration, State, Supervisor, load
from servers import fake_server

WEB = f"""
[servers.web]
command = {fake_server()}
plugins = {{ regex-port = true }}
"""
MAILER = """
[servers.mailer]
autostart = false
command = ["mailer"]
env = { API_KEY = "${NOT_SET}" }
"""


def both(folder: Path, mailer: str = MAILER) -> Path:
    file = folder / "hostler.toml"
    file.write_text(WEB + mailer)
    return file


@pytest.mark.parametrize(
    "line",
    [
        'env = { API_KEY = "${NOT_SET}" }',
        'env_file = "${NOT_SET}/.env"',
        'host = "${NOT_SET}"',
        'port = "${NOT_SET}"',
        'cwd = "${NOT_SET}"',
        'user = "${NOT_SET}"',
        'startup_timeout = "${NOT_SET}"',
        'needs = ["${NOT_SET}"]',
        'kind = "${NOT_SET}"',
        'plugins = { http-health = { path = "${NOT_SET}" } }',
        'plugins = { regex-port = { use = "${NOT_SET}" } }',
        'restart = { max_restarts = "${NOT_SET}" }',
    ],
)
async def test_wherever_it_stands_the_other_servers_run_and_its_own_fails_with_the_place(
    tmp_path: Path, directories: Directories, line: str
) -> None:
    file = both(tmp_path, f'[servers.mailer]\nautostart = false\ncommand = ["mailer"]\n{line}\n')
    async with Supervisor(load(file), directories=directories) as supervisor:
        await supervisor["web"].wait_ready(30)
        with pytest.raises(InvalidConfiguration, match=r"hostler\.toml:\d+: servers\.mailer.*\$\{NOT_SET\}"):
            await supervisor.start("mailer")
        assert supervisor["mailer"].state is State.FAILED
        assert supervisor["web"].state is State.RUNNING


@pytest.mark.parametrize(
    "mailer",
    [MAILER.replace("autostart = false", ""), f'{MAILER}[servers.x]\ncommand = ["x"]\nneeds = ["mailer"]\n'],
    ids=["starts by itself", "is needed by one that does"],
)
def test_a_server_that_starts_by_itself_or_is_needed_by_one_is_refused_at_once(
    tmp_path: Path, mailer: str
) -> None:
    with pytest.raises(InvalidConfiguration, match="NOT_SET"):
        load(both(tmp_path, mailer))


async def test_a_reload_refuses_it_for_what_is_up_and_not_for_what_is_at_rest(
    tmp_path: Path, directories: Directories
) -> None:
    set_ = MAILER.replace('["mailer"]', str(fake_server())).replace("${NOT_SET}", "set")
    async with Supervisor(load(both(tmp_path, set_)), directories=directories) as supervisor:
        changes = await supervisor.reload(load(both(tmp_path)))
        assert [*changes.changed] == ["mailer"]
        await supervisor.reload(load(both(tmp_path, set_)))
        await supervisor.start("mailer")
        with pytest.raises(InvalidConfiguration, match="NOT_SET"):
            await supervisor.reload(load(both(tmp_path)))
        assert supervisor["mailer"].spec.env == {"API_KEY": "set"}
