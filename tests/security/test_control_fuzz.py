"""The control API against what schemathesis makes of its document: right and wrong requests, in sequence."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from controlled import controlled
from hostler import Changes, ControlSpec, Directories, from_dict
from tcp_client import over_tcp

SECONDS = os.environ.get("HOSTLER_FUZZ_SECONDS", "20")  # more of them by night
# A command that is not done in its time is answered by 504, and a server that is not ready by 503.
CONFIGURATION = """
seed = 1
[checks.not_a_server_error]
expected-statuses = ["2xx", "3xx", "4xx", 503, 504]
# Which templates there are, and what parameters those take, is not in the document.
[[operations]]
include-operation-id = "put_servers_name"
checks.positive_data_acceptance.expected-statuses = ["2xx", 409, 422]
# A server may be called "start": one can ask for it there, too.
[[operations]]
include-path-regex = "^/v1/servers/(start|stop|restart)$"
checks.allow_header_conformance.enabled = false
"""
SERVERS: dict[str, Any] = {
    "servers": {
        "web": {"command": ["sleep", "600"], "port": False, "needs": ["db"]},
        "db": {"command": ["sleep", "600"], "port": False},
        "broken": {"command": ["/nowhere/prog"], "port": False, "autostart": False},
    },
    "templates": {
        "tree": {
            "parameters": {"path": {"required": True}},
            "command": ["sleep", "${parameter.path}"],
            "port": False,
        },
    },
}


class Host:
    """Ends nothing, and reads nothing: the next request has to find the same servers."""

    async def variables(self) -> tuple[set[str], set[str]]:
        return {"HOME"}, {"LC_*"}

    async def reload(self, *, dry_run: bool, environ: Mapping[str, str | None] | None) -> Changes:
        return Changes()

    def shutdown(self, *, force: bool) -> None:
        pass


async def test_no_request_is_answered_otherwise_than_the_document_says(
    directories: Directories, tmp_path: Path
) -> None:
    configuration = from_dict(SERVERS, base=tmp_path)
    (tmp_path / "schemathesis.toml").write_text(CONFIGURATION)
    on_tcp = ControlSpec(tcp="127.0.0.1:0")
    async with controlled(configuration, directories=directories, host=Host(), spec=on_tcp) as daemon:
        tcp = over_tcp(daemon)
        argv = [sys.executable, "-m", "schemathesis.cli", "run", f"{tcp.url}/openapi.json"]
        argv += ["--header", f"Authorization: Bearer {tcp.tokens['connect']}", "--max-time", SECONDS]
        argv += ["--request-timeout", "20", "--continue-on-failure", "--warnings", "off", "--no-color"]
        fuzzer = await asyncio.create_subprocess_exec(
            *argv, cwd=tmp_path, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
        )
        output, _ = await fuzzer.communicate()
        text = output.decode()
        assert fuzzer.returncode == 0, text
        assert "Tested: " in text
