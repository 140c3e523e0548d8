"""The document of the control API."""

from __future__ import annotations

import json
from typing import Any

import openapi_document
from controlled import controlled
from hostler import Directories
from jsonschema import Draft202012Validator
from openapi_spec_validator import validate
from specs import MakeSpec, worker


def test_the_committed_document_is_that_of_the_code_and_valid() -> None:
    assert openapi_document.PATH.read_text() == openapi_document.text(), (
        "run python tests/support/openapi_document.py; fields and routes are only added"
    )
    validate(openapi_document.document())


def schema_of(document: dict[str, Any], path: str, method: str, status: int) -> dict[str, Any]:
    content = document["paths"][path][method]["responses"][str(status)]["content"]
    (schema,) = (one["schema"] for one in content.values())
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
