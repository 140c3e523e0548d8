"""What of the control API is promised, one fact a line: `python tests/support/api_surface.py` adds new ones.

The file may only grow: a line that goes, or changes, breaks programs that are out there.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from openapi_document import document

PATH = Path(__file__).parent / "api_surface.txt"


def committed() -> set[str]:
    return set(PATH.read_text().splitlines())


def facts(document: dict[str, Any]) -> set[str]:
    """Routes with what they take and answer, and the fields of all types."""
    found = set()
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            found |= {f"{method.upper()} {path} {fact}" for fact in _facts_of(operation)}
    for name, schema in document["components"]["schemas"].items():
        for field, kind in schema["properties"].items():
            need = "required" if field in schema.get("required", ()) else "optional"
            found.add(f"{name}.{field}: {type_of(kind)}, {need}")
    return found


def broken(old: set[str], new: dict[str, Any]) -> list[str]:
    """The promises that a document does not keep: what is missing, and what requests must have now."""
    now = facts(new)
    asked = {name for fact in now if " takes " in fact for name in [fact.rpartition(" ")[2]]}
    known = {fact.partition(".")[0] for fact in old}
    needed = {
        fact
        for fact in now - old
        if fact.endswith(", required") and (name := fact.partition(".")[0]) in asked and name in known
    }
    return sorted(old - now) + sorted(needed)


def _facts_of(operation: dict[str, Any]) -> Iterator[str]:
    yield f"is {operation['operationId']}"
    for one in operation.get("parameters", ()):
        need = "required" if one["required"] else "optional"
        yield f"has {one['in']} {one['name']}: {type_of(one['schema'])}, {need}"
    if "requestBody" in operation:
        yield f"takes {type_of(operation['requestBody']['content']['application/json']['schema'])}"
    for status, response in operation["responses"].items():
        for kind, content in response.get("content", {"nothing": {}}).items():
            yield f"answers {status} {kind} {type_of(content.get('schema', {}))}".strip()


def type_of(schema: dict[str, Any]) -> str:
    """A schema in a word: "integer | null", "array[ServerRow]"."""
    if "$ref" in schema:
        return str(schema["$ref"]).rpartition("/")[2]
    if "anyOf" in schema:
        return " | ".join(sorted(type_of(one) for one in schema["anyOf"]))
    if "enum" in schema:
        return " | ".join(repr(one) for one in schema["enum"])
    if schema.get("type") == "array":
        return f"array[{type_of(schema.get('items', {}))}]"
    if isinstance(schema.get("additionalProperties"), dict):
        return f"object[{type_of(schema['additionalProperties'])}]"
    return str(schema.get("type", "any" if schema else ""))


if __name__ == "__main__":
    old = committed() if PATH.exists() else set()
    PATH.write_text("\n".join(sorted(old | facts(document()))) + "\n")
