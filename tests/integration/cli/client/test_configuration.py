"""The configuration as a hostler in the background shows it to programs: without credentials."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from background_project import write
from hostler.cli.client.transport import request
from hostler_process import Run

SERVERS = """
[servers.web]
command = ["sleep", "60"]
port = false
env = { GREETING = "${GREETING}", API_KEY = "sesame-open-sesame" }

[servers.db]
command = ["sleep", "60"]
port = false
"""


def get(socket: str, target: str) -> tuple[int, dict[str, Any]]:
    answer = request(socket, "GET", target, timeout=20)
    return answer.status, answer.json()


def test_it_is_as_show_prints_it_with_the_origin_of_each_value(
    project: Path, run: Run, environ: dict[str, str]
) -> None:
    write(project, SERVERS)
    env = environ | {"GREETING": "good-morning"}
    socket = json.loads(run("up", "--no-start", "--json", "--set", "servers.db.title=mine", env=env).stdout)[
        "socket"
    ]

    status, answer = get(socket, "/v1/configuration")
    assert status == 200
    assert answer["toml"] == run("show", "--set", "servers.db.title=mine", env=env).stdout
    assert answer["pending"] == []
    origins = {one["key"]: (one["value"], one["origin"]) for one in answer["values"]}
    assert origins["servers.web.env.GREETING"] == ('"${GREETING}"', f"{project}/hostler.toml:5")
    assert origins["servers.db.title"][1].startswith("--set servers.db.title")
    assert origins["servers.web.host"] == ('"127.0.0.1"', "default")
    assert "sesame" not in json.dumps(answer)
    assert "good-morning" not in json.dumps(answer)

    write(project, SERVERS.replace('"60"', '"61"', 1))
    status, web = get(socket, "/v1/servers/web/configuration")
    assert (status, web["pending"]) == (200, ["web"])
    assert {one["key"].split(".")[1] for one in web["values"]} == {"web"}
    assert "servers.db" not in web["toml"]
    assert get(socket, "/v1/servers/db/configuration")[1]["pending"] == []
    assert get(socket, "/v1/configuration")[1]["pending"] == ["web"]


def test_what_cannot_be_shown_is_told(project: Path, run: Run) -> None:
    write(project, SERVERS.replace("${GREETING}", "hello"))
    socket = json.loads(run("up", "--no-start", "--json").stdout)["socket"]
    status, problem = get(socket, "/v1/servers/wbe/configuration")
    assert (status, problem["type"]) == (404, "/problems/not_found")

    write(project, "[servers.web]\ncomand = 3\n")
    status, problem = get(socket, "/v1/configuration")
    assert (status, problem["type"]) == (422, "/problems/invalid_configuration")
    assert 'did you mean "command"?' in problem["mistakes"][0]
