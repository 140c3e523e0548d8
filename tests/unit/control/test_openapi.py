"""The document of the control API."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import api_surface
import openapi_document
import pytest
from click.testing import CliRunner
from controlled import controlled
from hostler import Directories
from hostler.cli.commands import group
from jsonschema import Draft202012Validator
from openapi_spec_validator import validate
from specs import MakeSpec, worker


def test_the_committed_document_is_that_of_the_code_and_valid() -> None:
    assert openapi_document.PATH.read_text() == openapi_document.text(), (
        "run python tests/support/openapi_document.py; fields and routes are only added"
    )
    validate(openapi_document.document())


def test_what_was_promised_is_still_there() -> None:
    old = api_surface.committed()
    assert api_surface.broken(old, openapi_document.document()) == [], (
        "routes, fields and types of the control API are only added: programs rely on these"
    )
    assert old == api_surface.facts(openapi_document.document()), "run python tests/support/api_surface.py"


def without_field(document: dict[str, Any]) -> None:
    del document["components"]["schemas"]["ServerRow"]["properties"]["pid"]


def without_route(document: dict[str, Any]) -> None:
    del document["paths"]["/v1/servers"]


def with_another_type(document: dict[str, Any]) -> None:
    document["components"]["schemas"]["ServerRow"]["properties"]["name"] = {"type": "integer"}


def with_null(document: dict[str, Any]) -> None:
    name = document["components"]["schemas"]["ServerRow"]["properties"]["name"]
    document["components"]["schemas"]["ServerRow"]["properties"]["name"] = {"anyOf": [name, {"type": "null"}]}


def without_a_parameter(document: dict[str, Any]) -> None:
    document["paths"]["/v1/events"]["get"]["parameters"].pop(0)


def with_more_to_send(document: dict[str, Any]) -> None:
    reload = document["components"]["schemas"]["Reload"]
    reload["properties"]["why"] = {"type": "string"}
    reload["required"] = ["why"]


@pytest.mark.parametrize(
    ("change", "broken"),
    [
        (without_field, ["ServerRow.pid: integer | null, required"]),
        (without_route, ["GET /v1/servers answers 200 application/json ServerList"]),
        (with_another_type, ["ServerRow.name: string, required"]),
        (with_null, ["ServerRow.name: string, required"]),
        (without_a_parameter, ["GET /v1/events has query after: string, optional"]),
        (with_more_to_send, ["Reload.why: string, required"]),
    ],
)
def test_a_change_that_breaks_programs_is_refused(
    change: Callable[[dict[str, Any]], None], broken: list[str]
) -> None:
    document = openapi_document.document()
    change(document)
    assert set(broken) <= set(api_surface.broken(api_surface.committed(), document))


def test_hostler_schema_prints_the_document() -> None:
    done = CliRunner().invoke(group, ["schema", "--api"])
    assert json.loads(done.stdout)["paths"] == openapi_document.document()["paths"]


def schema_of(document: dict[str, Any], path: str, method: str, status: int) -> dict[str, Any]:
    content = document["paths"][path][method]["responses"][str(status)]["content"]
    (schema,) = (one["schema"] for kind, one in content.items() if kind != "text/event-stream")
    return {**schema, "components": document["components"]}


async def test_answers_are_what_the_document_says(make_spec: MakeSpec, directories: Directories) -> None:
    spec = worker(make_spec, "sleep", "60")
    async with controlled(spec, directories=directories) as client:
        await client.supervisor.wait_ready(timeout=20)
        document = await client.get("/openapi.json")
        asked = [
            ("GET", "/v1", "/v1", None),
            ("GET", "/v1/servers", "/v1/servers", None),
            ("GET", "/v1/servers/{name}", "/v1/servers/fake", None),
            ("GET", "/v1/servers/{name}", "/v1/servers/none", None),
            ("GET", "/v1/servers/{name}/crashes", "/v1/servers/fake/crashes", None),
            ("GET", "/v1/servers/{name}/connection", "/v1/servers/fake/connection", None),
            ("GET", "/v1/events", "/v1/events", None),
            ("POST", "/v1/servers/{name}/restart", "/v1/servers/fake/restart", {"generation": 9}),
            ("POST", "/v1/servers/stop", "/v1/servers/stop", {}),
            ("POST", "/v1/servers/start", "/v1/servers/start", {"wait": False}),
            ("POST", "/v1/servers/start", "/v1/servers/start", {"names": 3}),
        ]
        for method, path, target, body in asked:
            answer = await client.ask(method, target, body)
            schema = schema_of(document, path, method.lower(), answer.status)
            Draft202012Validator(schema).validate(json.loads(answer.body))
