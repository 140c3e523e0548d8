"""Servers that clients of the control API add of templates, and remove."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from controlled import Client, controlled
from hostler import Directories
from hostler.config.load import from_dict

_PROGRAM = "import sys, time; print(sys.argv[1], flush=True); time.sleep(1000)"
CONFIGURATION: dict[str, Any] = {
    "servers": {
        "base": {"command": [sys.executable, "-c", _PROGRAM, "x"], "port": False},
        "own": {"template": {"use": "tree", "path": "/own"}, "needs": ["base"], "autostart": False},
    },
    "templates": {
        "tree": {
            "parameters": {"path": {"required": True}},
            "command": [sys.executable, "-c", _PROGRAM, "${parameter.path}"],
            "port": False,
        },
    },
}


@asynccontextmanager
async def served(directories: Directories, folder: Path) -> AsyncIterator[Client]:
    configuration = from_dict(CONFIGURATION, base=folder)
    async with controlled(configuration, directories=directories) as client:
        yield client


def tree(path: str, **more: object) -> dict[str, object]:
    return {"template": "tree", "parameters": {"path": path, **more}}


async def test_a_server_of_a_template_is_added_once_and_removed(
    directories: Directories, tmp_path: Path
) -> None:
    async with served(directories, tmp_path) as client:
        added = await client.ask("PUT", "/v1/servers/a", tree("/a"))
        assert (added.status, added.json()["template"]) == (201, "tree")
        await client.post("/v1/servers/a/start")
        same = await client.ask("PUT", "/v1/servers/a", tree("/a"))
        assert (same.status, same.json()["state"], same.json()["generation"]) == (200, "running", 1)
        pid = client.supervisor["a"].pid
        refused = await client.problem("PUT", "/v1/servers/a", tree("/b"))
        assert refused == (409, "exists", "there is another server of this name")
        assert client.supervisor["a"].pid == pid

        assert (await client.ask("DELETE", "/v1/servers/a")).status == 204
        assert "a" not in client.supervisor.servers
        assert (await client.problem("DELETE", "/v1/servers/a"))[:2] == (404, "not_found")
        anew = await client.ask("PUT", "/v1/servers/a", tree("/a"))
        assert anew.status == 201
        assert anew.json()["pid"] != pid, "it is another one"


async def test_of_several_at_once_one_adds_it(directories: Directories, tmp_path: Path) -> None:
    async with served(directories, tmp_path) as client:
        answers = await asyncio.gather(
            *(client.ask("PUT", "/v1/servers/a", tree("/a")) for _ in range(3)),
        )
        assert sorted(answer.status for answer in answers) == [200, 200, 201]


async def test_a_row_names_the_template(directories: Directories, tmp_path: Path) -> None:
    async with served(directories, tmp_path) as client:
        rows = (await client.get("/v1/servers"))["servers"]
        assert [row["template"] for row in rows] == [None, "tree"]


async def test_what_others_need_is_not_removed(directories: Directories, tmp_path: Path) -> None:
    async with served(directories, tmp_path) as client:
        refused = await client.problem("DELETE", "/v1/servers/base")
        assert refused == (409, "needed_by_others", "it cannot be removed: own needs it")
        assert "base" in client.supervisor.servers


@pytest.mark.parametrize(
    ("name", "body", "kind", "words"),
    [
        ("a", {"template": "tre"}, "invalid_configuration", "there is no template 'tre'; there are: tree"),
        ("base", {"template": "tre"}, "invalid_configuration", "there is no template 'tre'"),
        ("a", tree("/a", colour="red"), "invalid_configuration", "colour"),
        ("a", {"template": "tree"}, "invalid_configuration", "needs the parameter path"),
        ("a", {"template": "tree", "parameters": {"path": None}}, "invalid_request", "null"),
        ("a%2F..", tree("/a"), "invalid_configuration", "letters, digits"),
        ("a", {"template": "tree", "name": "b"}, "invalid_request", "name"),
        ("a", {}, "invalid_request", "template"),
    ],
)
async def test_what_cannot_be_added_is_told(
    directories: Directories, tmp_path: Path, name: str, body: dict[str, object], kind: str, words: str
) -> None:
    async with served(directories, tmp_path) as client:
        answer = await client.ask("PUT", f"/v1/servers/{name}", body)
        assert (answer.status, answer.json()["type"]) == (422, f"/problems/{kind}")
        assert words in f"{answer.json()['detail']}{answer.json().get('mistakes')}"
        assert list(client.supervisor.servers) == ["base", "own"]
