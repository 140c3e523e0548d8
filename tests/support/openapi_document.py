"""docs/reference/openapi.json, made from the control API: `python tests/support/openapi_document.py`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, cast

from hostler import Supervisor
from hostler.control.api import Api
from hostler.control.board import Board
from hostler.control.openapi import openapi

PATH = Path(__file__).parents[2] / "docs" / "reference" / "openapi.json"


class Nothing:
    """In the place of a supervisor, of which the table of routes needs nothing."""

    def listen(self, listener: object) -> object:
        return listener


def document() -> dict[str, Any]:
    """The document as the code has it now, without the version."""
    supervisor = cast("Supervisor", Nothing())
    made = openapi(Api(supervisor, Board(supervisor), "", None).routes())
    return made | {"info": {**made["info"], "version": "1"}}


def text() -> str:
    return json.dumps(document(), indent=1) + "\n"


if __name__ == "__main__":
    PATH.write_text(text())
