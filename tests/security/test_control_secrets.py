"""The control API: which secrets are in its answers, and where its own tokens are written."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest
from cli_project import CommandLine, Project, eventually
from controlled import short_folder
from hostler.cli.client.transport import Answer, request
from leaky_life import Life
from tcp_client import TcpClient

ON_TCP = ("--set", 'control.tcp="127.0.0.1:0"')


@pytest.fixture
def runtime(world: Project) -> Iterator[Path]:
    """The folder of the control socket."""
    with short_folder() as folder:
        world.environ["XDG_RUNTIME_DIR"] = str(folder)
        yield folder / "hostler"


def described(runtime: Path) -> Path:
    """The description of the hostler, once it is there."""
    eventually(lambda: any(runtime.glob("*.json")))
    return next(runtime.glob("*.json"))


def test_no_secret_is_in_an_answer_of_the_control_api_but_a_connection(world: Project, runtime: Path) -> None:
    life = Life(world, "--json")
    first = life.running.event(event="state", state="running")
    os.kill(first["pid"], signal.SIGABRT)
    life.running.event(event="crash")
    life.running.event(event="state", state="running", generation=2)
    life.look("while it runs")
    socket = str(described(runtime).with_suffix(".sock"))

    def ask(method: str, target: str, body: object = None) -> Answer:
        answer = request(socket, method, target, body, timeout=20)
        life.texts[f"{method} {target}"] = answer.body.decode()
        return answer

    paths = ask("GET", "/openapi.json").json()["paths"]
    assert isinstance(paths, dict)
    targets = {
        path.replace("{name}", "fake").replace("{number}", "1") for path, do in paths.items() if "get" in do
    }
    connection = "/v1/servers/fake/connection"
    assert {connection, "/v1/servers/fake/crashes", "/v1/events"} <= targets
    for target in sorted(targets - {connection}):
        assert ask("GET", target).status < 500, target
    ask("GET", "/v1/servers/none")
    ask("POST", "/v1/reload", {"dry_run": True})
    ask("POST", "/v1/reload", {"environment": {"MY_TOKEN": life.secrets["MY_TOKEN"] + "x" * 20}})
    ask("POST", "/v1/servers/fake/start", {"timeout": "x"})
    assert life.leaks() == []

    # What was looked for is what a connection has.
    answer = request(socket, "GET", connection, timeout=20)
    assert life.secrets["HELD"] in answer.body.decode()
    assert life.running.stop(signal.SIGTERM) == 0


def test_a_token_is_in_no_log_no_command_line_and_no_answer(world: Project, runtime: Path) -> None:
    up = world.hostler("up", world.fake(), *ON_TCP)
    assert up.end() == 0, up.err
    tcp = TcpClient(described(runtime))
    seen = [asyncio.run(tcp.ask(target)).body.decode() for target in ("/v1", "/v1/servers", "/v1/events")]
    seen += [answer.decode() for answer in asyncio.run(badly_asked(tcp))]
    others: list[CommandLine] = [
        world.hostler("ps", "--all", "--json"),
        world.hostler("exec", "fake", "--", "env"),
        world.hostler("show", "--origin", *ON_TCP),
    ]
    assert [one.end() for one in others] == [0, 0, 0]
    for one in (up, *others):
        seen += [*one.out, *one.err]
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            seen += [*process.cmdline(), *process.environ().values()]
    assert world.hostler("down").end() == 0
    files = [path for path in (*world.written(), *runtime.glob("*")) if path.is_file()]
    assert any(path.name == "daemon.log" for path in files)
    seen += [path.read_text(errors="replace") for path in files]

    told = "\n".join(seen)
    for token in tcp.tokens.values():
        assert token not in told
    assert list(runtime.iterdir()) == []


async def badly_asked(tcp: TcpClient) -> list[bytes]:
    """The answers to requests that show a token where it does not belong, or are broken."""
    token = tcp.tokens["connect"]
    answers = [await tcp.ask(target, None) for target in (f"/v1?token={token}", f"/{token}", f"/v1/{token}")]
    assert [answer.status for answer in answers] == [401, 404, 404]
    broken = [f"GET /v1 HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\0\r\n\r\n", f"{token}\r\n\r\n"]
    broken += [f"GET /v1 HTTP/1.1\r\nAuthorization : Bearer {token}\r\nHost: x\r\n\r\n"]
    sent = [await asyncio.to_thread(tcp.send, text.encode()) for text in broken]
    assert all(answer.startswith(b"HTTP/1.") and b" 400 " in answer[:20] for answer in sent)
    # The one that asks knows what it sent: the path alone may come back.
    return [answers[0].body, *sent]
