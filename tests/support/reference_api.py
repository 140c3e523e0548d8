"""The page docs/reference/api.md: the routes, the types and the problems of the control API."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from api_surface import type_of
from hostler.control.problems import STATUSES
from openapi_document import document
from reference_text import MADE

_INTRODUCTION = (
    "How programs use it is on the page [The control API](../control-api.md). The same as an OpenAPI 3.1 "
    "document: [openapi.json](openapi.json), or `hostler schema --api`. Every request may also be answered "
    "by one of the [problems](#problems) that concern requests as such, such as `wrong_token` or `too_many`."
)
_COMMON = {"invalid_request", "unsupported", "method", "malformed", "not_allowed", "wrong_host", "too_many"}
_COMMON |= {"internal", "too_large", "media_type", "no_token", "wrong_token"}
_STREAM = "[a stream](../control-api.md#streams)"
_BOUNDS = {"minimum": "at least", "maximum": "at most"}


def api_page() -> str:
    made = document()
    lines = ["# Control API", "", MADE, _INTRODUCTION, ""]
    operations = [
        (method.upper(), path, one) for path, of in made["paths"].items() for method, one in of.items()
    ]
    lines += ["| request | what it does |", "|---|---|"]
    lines += [
        f"| [`{method} {path}`](#{_anchor(method, path)}) | {one['summary']} |"
        for method, path, one in operations
    ]
    for method, path, one in operations:
        lines += ["", f"## {method} {path}", "", one["summary"], *_about(one)]
    lines += [
        "",
        "## Types",
        "",
        "Unknown is null, never missing. Fields are only added: ignore what you do not know.",
    ]
    for name, schema in made["components"]["schemas"].items():
        lines += ["", f"### {name}", "", *_type(schema)]
    lines += ["", "## Problems", "", "| type | status | meaning |", "|---|---|---|"]
    lines += [f"| `/problems/{kind}` | {status} | {title} |" for kind, (status, title) in STATUSES.items()]
    return "\n".join(lines) + "\n"


def _operations(paths: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, methods in paths.items():
        for method, operation in methods.items():
            yield method.upper(), path, operation


def _anchor(method: str, path: str) -> str:
    return f"{method}-{re.sub(r'[^a-z0-9]', '', path)}".lower()


def _about(operation: dict[str, Any]) -> Iterator[str]:
    scopes = [scope for one in operation["security"] for scope in one["token"]]
    yield ""
    yield f"Over TCP with a token for `{scopes[0]}`." if scopes else "Over TCP without a token, too."
    if parameters := operation.get("parameters"):
        yield from ("", "| parameter | in | type | default |", "|---|---|---|---|")
        for one in parameters:
            yield f"| `{one['name']}` | {one['in']} | {_code(one['schema'])} | {_default(one['schema'])} |"
    if "requestBody" in operation:
        yield from ("", f"Body: {_link(operation['requestBody']['content']['application/json']['schema'])}.")
    yield from ("", "| status | answer |", "|---|---|")
    for status, response in operation["responses"].items():
        kinds = response.get("content", {})
        if list(kinds) == ["application/problem+json"]:
            own = [one for one in response["description"].split("; ") if one.partition(":")[0] not in _COMMON]
            if own:
                yield f"| {status} | {'; '.join(own)} |"
            continue
        links = (
            _STREAM if kind == "text/event-stream" else _link(one["schema"]) for kind, one in kinds.items()
        )
        yield f"| {status} | {', or '.join(links) or 'nothing'} |"


def _type(schema: dict[str, Any]) -> Iterator[str]:
    yield str(schema.get("description", ""))
    yield from ("", "| field | type | default |", "|---|---|---|")
    for name, kind in schema["properties"].items():
        yield f"| `{name}` | {_code(kind)} | {_default(kind)} |"


def _link(schema: dict[str, Any]) -> str:
    name = type_of(schema)
    return f"[{name}](#{name.lower()})" if "$ref" in schema else f"`{name}`"


def _code(schema: dict[str, Any]) -> str:
    text = type_of(schema)
    bounds = [
        f"{word} {schema[key]}"
        for key, word in (("minimum", "at least"), ("maximum", "at most"))
        if key in schema
    ]
    shown = f"<code>{text.replace('|', '&#124;')}</code>" if "|" in text else f"`{text}`"
    return ", ".join([shown, *bounds])


def _default(schema: dict[str, Any]) -> str:
    return f"`{schema['default']!r}`".replace("None", "null") if "default" in schema else ""
