"""The control API against what schemathesis makes of its document: right and wrong requests, in sequence."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from background_project import write
from hostler_process import Run
from tcp_client import TcpClient

SECONDS = os.environ.get("HOSTLER_FUZZ_SECONDS", "20")  # of which a nightly run has more
SERVERS = """
[control]
tcp = "127.0.0.1:0"
[servers.web]
command = ["sleep", "600"]
port = false
needs = ["db"]
[servers.db]
command = ["sleep", "600"]
port = false
[servers.broken]
command = ["/nowhere/prog"]
port = false
autostart = false
[templates.tree]
parameters = { seconds = { required = true } }
command = ["sleep", "${parameter.seconds}"]
port = false
"""
CONFIGURATION = """
seed = 1
# A command that is not done in its time is answered by 504, and a server that is not ready by 503.
[checks.not_a_server_error]
expected-statuses = ["2xx", "3xx", "4xx", 503, 504]
# Which templates there are, and what parameters those take, is not in the document; nor are the names that
# variables may have.
[[operations]]
include-operation-id = ["put_servers_name", "post_reload"]
checks.positive_data_acceptance.expected-statuses = ["2xx", 409, 422]
# A server may be called "start": one can ask for it there, too.
[[operations]]
include-path-regex = "^/v1/servers/(start|stop|restart)$"
checks.allow_header_conformance.enabled = false
# It would be the last request.
[[operations]]
include-path = "/v1/shutdown"
enabled = false
"""


def test_no_request_is_answered_otherwise_than_the_document_says(
    project: Path, run: Run, environ: dict[str, str]
) -> None:
    write(project, SERVERS)
    (project / "schemathesis.toml").write_text(CONFIGURATION)
    assert run("up", "--no-wait").returncode == 0
    (description,) = Path(environ["XDG_RUNTIME_DIR"], "hostler").glob("*.json")
    tcp = TcpClient(description)
    argv = [sys.executable, "-m", "schemathesis.cli", "run", f"{tcp.url}/openapi.json", "--no-color"]
    argv += ["--header", f"Authorization: Bearer {tcp.tokens['connect']}", "--max-time", SECONDS]
    argv += ["--request-timeout", "20", "--continue-on-failure", "--warnings", "off"]
    fuzzed = subprocess.run(argv, cwd=project, capture_output=True, text=True, check=False)
    assert fuzzed.returncode == 0, fuzzed.stdout + fuzzed.stderr
    assert "Stateful" in fuzzed.stdout
    assert run("down").returncode == 0
