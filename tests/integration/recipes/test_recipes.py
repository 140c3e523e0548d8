"""Servers of other makers, kept by the TOML in configs/recipes alone: run, killed, restarted, stopped."""

from __future__ import annotations

import json
import os
import pwd
import shutil
import signal
import socket
import tempfile
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from cli_project import NOTHING, Project, eventually
from hostler import Server, load
from third_party_servers import python_programs, system_program, vite_modules

RECIPES = Path(__file__).parents[3] / "configs" / "recipes"
FILES = sorted(RECIPES.glob("*.toml"))
NO_PROXY = urllib.request.build_opener(urllib.request.ProxyHandler({}))


@dataclass(frozen=True)
class Case:
    """How a recipe's program is had, what it needs in its folder, and what it answers."""

    prepare: Callable[[Project], None]
    ask: Callable[[Server], None]
    path: Callable[[], Path]
    environ: dict[str, str] = field(default_factory=dict)


def get(server: Server, path: str, words: str, **headers: str) -> None:
    """What is asked for by HTTP holds these words."""
    request = urllib.request.Request(f"{server.url}{path}", headers=headers)
    with NO_PROXY.open(request, timeout=10) as answer:
        assert words in answer.read().decode()


def write(name: str, text: str) -> Callable[[Project], None]:
    def prepare(world: Project) -> None:
        (world.project / name).write_text(text)

    return prepare


def free_port() -> int:
    with closing(socket.create_server(("127.0.0.1", 0))) as taken:
        return int(taken.getsockname()[1])


# -- what each needs ------------------------------------------------------------------------------

ASGI = """
async def app(scope, receive, send):
    if scope["type"] == "http":
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"asgi answers"})
"""
FLASK = """
from flask import Flask
app = Flask(__name__)

@app.get("/")
def index():
    return "flask answers"
"""
MCP = """
import os
from mcp.server.mcpserver import MCPServer
mcp = MCPServer("tools")

@mcp.tool()
def add(a: int, b: int) -> int:
    return a + b

mcp.run(transport="streamable-http", host=os.environ["HOST"], port=int(os.environ["PORT"]))
"""
NGINX = """
pid nginx.pid;
events {}
http {
    access_log off;
    server { listen 127.0.0.1:%d; location / { return 200 "nginx answers"; } }
}
"""
INITIALIZE = {
    "jsonrpc": "2.0",
    "id": 1,
    "method": "initialize",
    "params": {
        "protocolVersion": "2025-03-26",
        "capabilities": {},
        "clientInfo": {"name": "test", "version": "1"},
    },
}


def jupyter(world: Project) -> None:
    """Root has to be allowed; a user's own settings are not to be read."""
    (world.project / "jupyter_server_config.py").write_text("c.ServerApp.allow_root = True\n")
    world.environ["JUPYTER_CONFIG_DIR"] = str(world.project)


def vite(world: Project) -> None:
    (world.project / "node_modules").symlink_to(vite_modules())
    (world.project / "index.html").write_text("<title>vite answers</title>")


def ask_mcp(server: Server) -> None:
    headers = {"Content-Type": "application/json", "Accept": "application/json, text/event-stream"}
    request = urllib.request.Request(f"{server.url}/mcp", json.dumps(INITIALIZE).encode(), headers)
    with NO_PROXY.open(request, timeout=10) as answer:
        assert '"serverInfo"' in answer.read().decode()


def ask_redis(server: Server) -> None:
    assert server.endpoint is not None
    with socket.create_connection((server.endpoint.host, server.endpoint.port), timeout=10) as connection:
        connection.sendall(b"PING\r\n")
        assert connection.recv(64) == b"+PONG\r\n"


def ask_postgres(server: Server) -> None:
    """The protocol's first question, whether it takes TLS, has one letter for an answer."""
    assert server.endpoint is not None
    with socket.create_connection((server.endpoint.host, server.endpoint.port), timeout=10) as connection:
        connection.sendall(bytes.fromhex("0000000804d2162f"))
        assert connection.recv(1) in b"SN"


def postgres_program() -> Path:
    return system_program("postgres", *Path("/usr/lib/postgresql").glob("*/bin")).resolve()


PORT = free_port()
CASES = {
    "uvicorn": Case(write("app.py", ASGI), lambda s: get(s, "/", "asgi answers"), python_programs),
    "flask": Case(write("app.py", FLASK), lambda s: get(s, "/", "flask answers"), python_programs),
    "jupyter": Case(
        jupyter,
        lambda s: get(s, "/api/status", "kernels", Authorization="token planted-token-of-a-test"),
        python_programs,
        {"JUPYTER_TOKEN": "planted-token-of-a-test"},
    ),
    "vite": Case(vite, lambda s: get(s, "/", "vite answers"), lambda: system_program("node")),
    "mcp": Case(write("server.py", MCP), ask_mcp, python_programs),
    "redis": Case(lambda world: None, ask_redis, lambda: system_program("redis-server")),
    "nginx": Case(
        write("nginx.conf", NGINX % PORT),
        lambda s: get(s, "/", "nginx answers"),
        lambda: system_program("nginx"),
        {"NGINX_PORT": str(PORT)},
    ),
    "postgres": Case(lambda world: None, ask_postgres, postgres_program),
}


@pytest.fixture
def nothing_is_left(world: Project) -> Iterator[None]:
    yield
    assert world.what_is_left() == NOTHING


def test_every_recipe_is_tried() -> None:
    assert {file.stem for file in FILES} == set(CASES)


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_a_recipe_starts_with_a_comment_and_loads_without_any_variable(file: Path) -> None:
    assert file.read_text().startswith("# ")
    assert load(file, environ={}).servers


@pytest.mark.parametrize("name", CASES)
@pytest.mark.usefixtures("nothing_is_left")
async def test_another_server_is_kept_by_toml_alone(
    world: Project, name: str, request: pytest.FixtureRequest
) -> None:
    case = CASES[name]
    program = case.path()
    folder = program if program.is_dir() else program.parent
    world.environ["PATH"] = f"{folder}:{os.environ['PATH']}"
    world.environ |= case.environ
    case.prepare(world)
    file = RECIPES / f"{name}.toml"

    if name == "postgres" and os.geteuid() == 0:
        file = as_postgres(world, file, request)

    async with world.supervisor(file) as supervisor:
        (server,) = supervisor.servers.values()
        await server.wait_ready(60)
        case.ask(server)
        first = server.pid, server.url
        assert server.pid is not None
        os.kill(server.pid, signal.SIGKILL)
        await server.until(lambda: server.generation == 2)
        await server.wait_ready(60)
        assert (server.pid != first[0], server.url) == (True, first[1])
        case.ask(server)
        endpoint = server.endpoint

    assert not [path for path in world.written() if b"planted-token" in path.read_bytes()]
    assert endpoint is not None
    eventually(lambda: not answers(endpoint.host, endpoint.port))


def answers(host: str, port: int) -> bool:
    try:
        socket.create_connection((host, port), timeout=5).close()
    except ConnectionRefusedError:
        return False
    return True


def as_postgres(world: Project, file: Path, request: pytest.FixtureRequest) -> Path:
    """PostgreSQL refuses to be root: its own user, in a folder that it may reach."""
    user = pwd.getpwnam("postgres")
    folder = Path(tempfile.mkdtemp(prefix="hostler-postgres-", dir="/tmp"))
    request.addfinalizer(lambda: shutil.rmtree(folder))
    os.chown(folder, user.pw_uid, user.pw_gid)
    world.environ["DATA"] = str(folder / "data")
    return world.write(f'extends = ["{file}"]\n[servers.postgres]\nuser = "postgres"\ncwd = "/"\n')
