"""The control API as an OpenAPI 3.1 document, made from its table of routes and the types in it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import msgspec

from hostler import Supervisor, __version__
from hostler.control.problems import STATUSES
from hostler.control.routes import Route
from hostler.control.shapes import Problem
from hostler.control.whole_log import JSON_LINES

_COMPONENT = "#/components/schemas/{name}"
_REQUESTS = ("invalid_request", "unsupported", "method", "malformed", "not_allowed", "wrong_host")
_ALWAYS = (*_REQUESTS, "too_many", "internal")
_OF_BODIES = ("too_large", "media_type")
_STREAM = {
    "schema": {"type": "string"},
    "example": 'id: 7964b56b-7\nevent: state\ndata: {"server": "web", "state": "running"}\n\n',
}
_LINES = {
    "schema": {"type": "string"},
    "example": '{"time": "2026-01-02T08:02:59.120Z", "server": "web", "text": "ready"}\n'
    '{"next": "9f0c1a2b3c4d5e6f-4711", "missed": []}\n',
}
_LAST_EVENT_ID = {
    "name": "Last-Event-ID",
    "in": "header",
    "required": False,
    "description": "The cursor behind which a stream goes on, as `after`.",
    "schema": {"type": "string"},
}
_TOKEN = {
    "type": "http",
    "scheme": "bearer",
    "description": "Over TCP each request needs a token, which is in a file of its own for each scope: "
    "`read`, `operate` (which allows `read` too) and `connect` (which allows all). The control socket asks "
    "for none.",
}


def api_document() -> dict[str, Any]:
    """The document of this version: the routes are the same for every supervisor."""
    from hostler.control.api import Api  # noqa: PLC0415 - which imports this module for a client
    from hostler.control.event_ring import EventRing  # noqa: PLC0415

    supervisor = Supervisor((), namespace="none")
    return openapi(Api(supervisor, EventRing(supervisor), "", "", None, "").routes())


def openapi(routes: Sequence[Route]) -> dict[str, Any]:
    """The document, as plain values for JSON."""
    given = {kind for route in routes for kind in (route.answer, route.query, route.body)}
    types = {kind for kind in given if kind not in {None, dict}}
    ordered: list[type] = sorted({*types, Problem}, key=lambda kind: kind.__name__)
    schemas, components = msgspec.json.schema_components(ordered, ref_template=_COMPONENT)
    of_type = dict(zip(ordered, schemas, strict=True))
    paths: dict[str, Any] = {}
    for route in routes:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route, of_type, components)
    return {
        "openapi": "3.1.0",
        "info": {"title": "hostler's control API", "version": __version__, "license": {"name": "MIT"}},
        "servers": [{"url": "http://localhost", "description": "over the control socket"}],
        "paths": paths,
        "components": {"schemas": dict(sorted(components.items())), "securitySchemes": {"token": _TOKEN}},
    }


def _operation(route: Route, of_type: dict[type, Any], components: dict[str, Any]) -> dict[str, Any]:
    parameters = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
        for name in re.findall(r"{(\w+)}", route.path)
    ]
    if route.query is not None:
        known = components[route.query.__name__]
        required = known.get("required", ())
        parameters += [
            {"name": name, "in": "query", "required": name in required, "schema": schema}
            for name, schema in known["properties"].items()
        ]
    operation: dict[str, Any] = {"summary": route.summary, "operationId": _identifier(route)}
    if route.streams:
        parameters.append(_LAST_EVENT_ID)
    if parameters:
        operation["parameters"] = parameters
    if route.body is not None:
        needed = bool(components[route.body.__name__].get("required"))
        content = {"application/json": {"schema": of_type[route.body]}}
        operation["requestBody"] = {"required": needed, "content": content}
    operation["security"] = [] if route.scope is None else [{"token": [route.scope]}]
    return operation | {"responses": _responses(route, of_type)}


def _responses(route: Route, of_type: dict[type, Any]) -> dict[str, Any]:
    responses: dict[str, Any] = {}
    for status in route.statuses:
        responses[str(status)] = {"description": route.summary}
        if route.answer is not None:
            schema = of_type.get(route.answer, {"type": "object"})
            responses[str(status)]["content"] = {"application/json": {"schema": schema}}
        if route.streams:
            responses[str(status)]["content"]["text/event-stream"] = _STREAM
        if route.lines:
            responses[str(status)]["content"][JSON_LINES] = _LINES
        if route.texts:
            responses[str(status)]["content"] = {kind: {"schema": {"type": "string"}} for kind in route.texts}
    bodies = () if route.body is None else _OF_BODIES
    tokens = () if route.scope is None else ("no_token", "wrong_token")
    for kind in (*route.problems, *_ALWAYS, *bodies, *tokens):
        status, title = STATUSES[kind]
        response = responses.setdefault(str(status), {"description": ""})
        described = response["description"]
        response["description"] = f"{described}; {kind}: {title}" if described else f"{kind}: {title}"
        if route.answer is not None or status not in route.statuses:  # what may be empty has no content
            response.setdefault("content", {})["application/problem+json"] = {"schema": of_type[Problem]}
    return dict(sorted(responses.items()))


def _identifier(route: Route) -> str:
    words = re.findall(r"\w+", route.path.removeprefix("/v1"))
    return "_".join([route.method.lower(), *words])
