"""`hostler show --origin`: where each value comes from, and who set each variable of a server."""

from __future__ import annotations

import os
import re
import signal
from pathlib import Path

import pytest
from hostler.config.load import load_resolved
from hostler.config.provenance import Origin, as_toml, origins_of, place_of
from hostler.config.source.overrides import read_setting
from hostler.model.schema.tree import Place
from hostler_process import Configure, Run, Start, server_table

SECRET = "sesame-open-sesame"
BASE = """\
[servers.web]
port = 3000
restart = { max_restarts = 2 }

[servers.web.plugins]
regex-port = { pattern = 'listening on (?P<url>\\S+)' }
env-sanitizer = true
log-rotation = false
"""
UPPER = """\
extends = ["base.toml"]

[servers.web]
command = [
    "true", "${server.port}",
]
env = { URL = "${servers.my-db.url}", TOKEN = { secret = "file:token" }, API_KEY = "sesame-open-sesame" }
env_file = ".env"

[servers.my-db]
command = ["true"]

[profiles.ci.servers.web]
port = 3001
restart.policy = "never"
"""


def write(folder: Path, **files: str) -> Path:
    for name, text in files.items():
        (folder / f"{name}.toml").write_text(text)
    return folder / "hostler.toml"


def rows(text: str) -> dict[str, str]:
    """Each text with its comment."""
    pairs = [line.split("  # ", 1) for line in text.splitlines() if "  # " in line]
    return {before.rstrip(): comment for before, comment in pairs}


def values_of(file: Path, name: str, **layers: object) -> dict[str, Origin]:
    drafts = load_resolved(file, environ=os.environ, **layers).servers  # type: ignore[arg-type]
    return {origin.key: origin for origin in origins_of(drafts[name])}


# -- values ----------------------------------------------------------------------------------------


def test_each_value_is_told_with_file_and_line_or_as_a_default(run: Run, tmp_path: Path) -> None:
    write(tmp_path, base=BASE, hostler=UPPER)
    (tmp_path / ".env").write_text("FROM_FILE=1\n")
    done = run("show", "--origin", "web")
    told = rows(done.stdout)

    assert (done.returncode, done.stderr) == (0, "")
    assert told["servers.web.port = 3000"] == "base.toml:2"
    assert told["servers.web.restart.max_restarts = 2"] == "base.toml:3"
    assert (
        told["servers.web.plugins.regex-port.pattern = " + r'"listening on (?P<url>\\S+)"'] == "base.toml:6"
    )
    assert told["servers.web.plugins.env-sanitizer = true"] == "base.toml:7"
    assert told["servers.web.plugins.log-rotation = false"] == "base.toml:8"
    assert told['servers.web.command = ["true", "${server.port}"]'] == "hostler.toml:4"
    assert told['servers.web.env.URL = "${servers.my-db.url}"'] == "hostler.toml:7"
    assert told['servers.web.env.TOKEN = { secret = "file:token" }'] == "hostler.toml:7"
    assert told['servers.web.env_file = ".env"'] == "hostler.toml:8"
    assert told['servers.web.host = "127.0.0.1"'] == "default"
    assert told['servers.web.restart.policy = "on-failure"'] == "default"
    assert told["servers.web.plugins.env-sanitizer.allow = []"] == "default of the plugin"
    assert told['servers.web.needs = ["my-db"]'] == (
        "implied: servers.web.env.URL refers to it, hostler.toml:7"
    )
    assert "\nservers.my-db" not in done.stdout


def test_comments_stand_below_each_other(run: Run, tmp_path: Path) -> None:
    write(tmp_path, base=BASE, hostler=UPPER)
    (tmp_path / ".env").touch()
    lines = [
        line for line in run("show", "--origin", "web").stdout.splitlines() if line.startswith("servers.")
    ]
    short = [line for line in lines if len(line.partition("  # ")[0].rstrip()) <= 72]

    assert len(short) > 30
    assert len({len(line.partition("  # ")[0]) for line in short}) == 1


def test_no_secret_that_stands_in_the_file_is_printed(run: Run, tmp_path: Path) -> None:
    lines = [
        f"API_KEY = '{SECRET}'",
        f"A_TOKEN = 'Bearer ${{HOME}} {SECRET}'",
        f"B_TOKEN = '${{NOT_SET_ANYWHERE:-{SECRET}}}'",
        "C_TOKEN = 'Bearer ${HOME}'",
    ]
    text = "[servers.web]\ncommand = ['true']\n[servers.web.env]\n" + "\n".join(lines) + "\n"
    text += f"[servers.web.plugins.x]\nuse = '{tmp_path}/x.py:X'\ntokens_password = ['{SECRET}', '']\n"
    (tmp_path / "x.py").write_text(
        "from dataclasses import dataclass, field\nfrom hostler import hookimpl\n\n"
        "@dataclass(eq=False)\nclass X:\n    tokens_password: list[str] = field(default_factory=list)\n"
        "    @hookimpl\n    async def on_ready(self): ...\n"
    )
    write(tmp_path, hostler=text)
    done = run("show", "--origin")
    told = rows(done.stdout)

    assert done.returncode == 0
    assert "sesame" not in done.stdout
    assert "what the plugin x sets" not in done.stdout  # it has no hook that could
    assert told['servers.web.env.API_KEY = "********"'] == "hostler.toml:4"
    assert told['servers.web.env.A_TOKEN = "Bearer ${HOME}********"'] == "hostler.toml:5"
    assert told['servers.web.env.B_TOKEN = "${NOT_SET_ANYWHERE:-********}"'] == "hostler.toml:6"
    assert told['servers.web.env.C_TOKEN = "Bearer ${HOME}"'] == "hostler.toml:7"
    assert told['servers.web.plugins.x.tokens_password = ["********", ""]'] == "hostler.toml:10"


def test_show_prints_no_credential_that_stands_in_the_file_and_reads_back(run: Run, tmp_path: Path) -> None:
    words = f"'--token={SECRET}', '--key', '{SECRET}', 'http://me:{SECRET}@h/?api_key={SECRET}'"
    lines = [
        "[servers.web]",
        f"command = ['true', {words}]",
        f"env.A_TOKEN = '{SECRET}'",
        "env.B_TOKEN = 'Bearer ${HOME}'",
        "env.C_TOKEN = { secret = 'env:HOME' }",
        f"env.PLACE = 'redis://me:{SECRET}@h'",
        "env.REDIS_URL = 'redis://127.0.0.1:1'",
        f"plugins.sse-health.headers = {{ x-api-key = '{SECRET}', Authorization = 'Bearer {SECRET}' }}",
    ]
    write(tmp_path, hostler="\n".join(lines))

    for call in (("show",), ("show", "--origin")):
        done = run(*call)
        assert done.returncode == 0
        assert "sesame" not in done.stdout
        assert "--token=********" in done.stdout
        assert "http://me:********@h/?api_key=********" in done.stdout
        assert '"redis://me:********@h"' in done.stdout
        assert '"redis://127.0.0.1:1"' in done.stdout
        assert '"Bearer ${HOME}"' in done.stdout
        assert '"env:HOME"' in done.stdout

    write(tmp_path, hostler=run("show").stdout)
    assert run("check").returncode == 0


def test_what_a_profile_or_a_setting_laid_over_is_told_as_that(tmp_path: Path) -> None:
    file = write(tmp_path, base=BASE, hostler=UPPER)
    told = values_of(file, "web", profiles=["ci"], settings=[read_setting("servers.web.host=localhost")])

    assert told["servers.web.port"] == Origin("servers.web.port", "3001", f"profile ci ({file}:14)")
    assert told["servers.web.restart.policy"].place == f"profile ci ({file}:15)"
    assert told["servers.web.restart.max_restarts"].place == f"{tmp_path}/base.toml:3"
    assert told["servers.web.host"].place == "--set servers.web.host=localhost"


def test_what_is_needed_anyway_is_not_told_as_implied(tmp_path: Path) -> None:
    text = "[servers.a]\ncommand = ['true', '${servers.b.port}', '${servers.c.port}']\nneeds = %s\n"
    rest = "".join(f"[servers.{name}]\ncommand = ['true']\n" for name in "bc")
    for needs in ("['b']", "{ b = 'ready' }"):
        file = write(tmp_path, hostler=text % needs + rest)
        drafts = load_resolved(file).servers
        needed = [origin for origin in origins_of(drafts["a"]) if origin.key.startswith("servers.a.needs")]
        assert [origin.value for origin in needed][-1] == '["c"]'
        assert len(needed) == 2


def test_a_task_has_no_port_by_default(tmp_path: Path) -> None:
    file = write(tmp_path, hostler="[servers.a]\nkind = 'task'\ncommand = ['true']\n")

    assert values_of(file, "a")["servers.a.port"] == Origin("servers.a.port", "false", "default")


def test_values_are_written_as_toml_on_one_line() -> None:
    assert as_toml({"a b": [1, 2.5, True, "x\n"], "c": {}}) == '{ "a b" = [1, 2.5, true, "x\\n"], c = {} }'
    assert place_of(Place(None, None, Path())) == "given from Python"


def test_profiles_and_settings_of_the_call_are_told_too(run: Run, tmp_path: Path) -> None:
    write(tmp_path, base=BASE, hostler=UPPER)
    told = rows(run("show", "--origin", "web", "--profile", "ci", "--set", "servers.web.title=Web").stdout)

    assert told["servers.web.port = 3001"] == "profile ci (hostler.toml:14)"
    assert told['servers.web.title = "Web"'] == "--set servers.web.title=Web"
    assert 'title = "Web"' in run("show", "web", "--set", "servers.web.title=Web").stdout


# -- variables -------------------------------------------------------------------------------------


def test_before_the_first_start_the_part_that_is_known_is_told(run: Run, tmp_path: Path) -> None:
    write(tmp_path, base=BASE, hostler=UPPER)
    (tmp_path / ".env").write_text("FROM_FILE=1\nURL=overruled\n")
    done = run("show", "--origin", "web")
    head, _, tail = done.stdout.partition("# the environment of web, as far as it is known without a start")
    told = rows(tail)

    assert head
    assert told["PATH"] == "hostler's own environment"
    assert told["URL"] == "env: hostler.toml:7"
    assert told["TOKEN"] == "env: hostler.toml:7"
    assert told["FROM_FILE"] == f"env_file {tmp_path}/.env"
    assert "# what the server my-db publishes" in tail
    assert "what the plugin env-sanitizer sets or takes away" in tail


def test_an_env_file_that_cannot_be_read_is_told_in_its_place(run: Run, tmp_path: Path) -> None:
    write(tmp_path, base=BASE, hostler=UPPER)
    done = run("show", "--origin", "web")

    assert done.returncode == 0
    assert f"# the env_file {tmp_path}/.env cannot be read: there is no such file" in done.stdout


def test_the_secret_in_the_path_of_an_env_file_is_not_told(run: Run, tmp_path: Path) -> None:
    write(tmp_path, hostler='[servers.web]\ncommand = ["true"]\nenv_file = "/proc/nowhere/${API_TOKEN}"\n')
    done = run("show", "--origin", env=dict(os.environ, API_TOKEN=SECRET))

    assert SECRET not in done.stdout + done.stderr
    assert "# the env_file /proc/nowhere/******** cannot be read" in done.stdout


def test_after_a_start_it_is_told_who_set_each_variable_then(
    configure: Configure, start: Start, run: Run, tmp_path: Path, environ: dict[str, str]
) -> None:
    (tmp_path / ".env").write_text(f"FILE_TOKEN={SECRET}\nGONE_KEY=x\n")
    (tmp_path / "setter.py").write_text(
        "from dataclasses import dataclass\nfrom hostler import hookimpl\n\n@dataclass(eq=False)\n"
        "class Setter:\n    @hookimpl\n    async def pre_spawn(self, launch):\n"
        "        launch.env |= {'BY_PLUGIN': '1', 'OVERRULED': '2'}\n"
    )
    text = server_table(env='{ OVERRULED = "1", MINE = "1" }', env_file='".env"')
    text += f"setter = {{ use = '{tmp_path}/setter.py:Setter' }}\n"
    text += "env-sanitizer = { deny = ['GONE_*', 'LANG'] }\n"
    configure(text=text)
    running = start("run", "--json", env=environ | {"LANG": "C"})
    running.wait_for('"state": "running"')
    line = running.wait_for('"event": "spawned"')
    assert '"BY_PLUGIN": "plugin setter"' in line

    deadline = 100
    while "as it was set at its last start" not in (done := run("show", "--origin", "fake")).stdout:
        deadline -= 1  # the status is written a moment later
        assert deadline, done.stdout

    running.send(signal.SIGTERM)
    assert running.end() == 0
    after = run("show", "--origin")
    told = rows(after.stdout.partition("# the environment of fake, as it was set at its last start")[2])

    assert told["PATH"] == "hostler's own environment"
    assert told["MINE"] == "env: hostler.toml:3"
    assert told["FILE_TOKEN"] == f"env_file {tmp_path}/.env"
    assert told["BY_PLUGIN"] == told["OVERRULED"] == "plugin setter"
    assert told["GONE_KEY"] == told["LANG"] == "taken away by plugin env-sanitizer"
    assert told["HOSTLER_RUN_ID"] == "hostler itself"
    assert SECRET not in after.stdout + done.stdout


# -- the call --------------------------------------------------------------------------------------


def test_show_prints_one_server_where_one_is_named(run: Run, tmp_path: Path) -> None:
    write(tmp_path, base=BASE, hostler=UPPER)

    assert re.findall(r"^\[servers\.[^.\]]+\]$", run("show", "my-db").stdout, re.MULTILINE) == [
        "[servers.my-db]"
    ]
    assert "[servers.web]" in run("show", "hostler.toml").stdout


@pytest.mark.parametrize("words", [("show", "wbe"), ("show", "--origin", "wbe")])
def test_a_misspelt_server_is_a_mistake_in_the_call(run: Run, tmp_path: Path, words: tuple[str, ...]) -> None:
    write(tmp_path, base=BASE, hostler=UPPER)
    done = run(*words)

    assert done.returncode == 2
    assert 'did you mean "web"?' in done.stderr
