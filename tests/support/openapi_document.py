"""docs/reference/openapi.json, made from the control API: `python tests/support/openapi_document.py`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from hostler.control.openapi import api_document

PATH = Path(__file__).parents[2] / "docs" / "reference" / "openapi.json"


def document() -> dict[str, Any]:
    """The document as the code has it now, without the version."""
    made = api_document()
    return made | {"info": {**made["info"], "version": "1"}}


def text() -> str:
    return json.dumps(document(), indent=1) + "\n"


if __name__ == "__main__":
    PATH.write_text(text())
