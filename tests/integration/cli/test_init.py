"""`hostler init`: a hostler.toml for what is in the folder, which `hostler check` accepts."""

from __future__ import annotations

import json
import shutil
import tomllib
from pathlib import Path

import pytest
from hostler_process import Run

FAST_API = "from fastapi import FastAPI\n\napp: FastAPI = FastAPI()\n"
ADDRESS = "--host ${server.host} --port ${server.port}"
PACKAGE = json.dumps({"scripts": {"dev": "vite"}})
FOUND = [
    ({"main.py": FAST_API}, {"web": f"uvicorn main:app {ADDRESS}"}),
    ({"src/shop/app.py": FAST_API}, {"web": f"uvicorn shop.app:app --app-dir src {ADDRESS}"}),
    ({"app.py": "site = Flask(__name__)\n"}, {"web": f"flask --app app:site run {ADDRESS}"}),
    (
        {"shop/__init__.py": "def create_app():\n    app = Flask(__name__)\n    return app\n"},
        {"web": f"flask --app shop:create_app run {ADDRESS}"},
    ),
    (
        {"main.py": "def create_app():\n    return FastAPI()\n"},
        {"web": f"uvicorn main:create_app --factory {ADDRESS}"},
    ),
    (
        {"asgi.py": "async def app(scope, receive, send):\n    pass\n"},
        {"web": f"uvicorn asgi:app {ADDRESS}"},
    ),
    (
        {"manage.py": "", "app.py": FAST_API},
        {"web": "python3 manage.py runserver ${server.host}:${server.port}"},
    ),
    ({"package.json": PACKAGE}, {"frontend": f"npm run dev -- {ADDRESS} --strictPort"}),
    ({"package.json": PACKAGE, "pnpm-lock.yaml": ""}, {"frontend": f"pnpm run dev {ADDRESS} --strictPort"}),
    (
        {"package.json": PACKAGE.replace("{", '{"packageManager": "bun@1.2.0", ', 1), "pnpm-lock.yaml": ""},
        {"frontend": f"bun run dev {ADDRESS} --strictPort"},
    ),
    (
        {"package.json": '{"scripts": {"start": "node x.js"}}', "yarn.lock": ""},
        {"frontend": "yarn run start"},
    ),
    # A folder is no application, and what a terminal acts on stands in no comment.
    ({"package.json": '{"scripts": {"dev": "x \\u001b[1m"}}', "app.py/x": ""}, {"frontend": "npm run dev"}),
    ({"package.json": "{}", "opencode.json": "{}"}, {"opencode": None}),
    ({"Procfile": "web: serve $PORT\n", "main.py": FAST_API}, {"web": "serve ${server.port}"}),
    ({"compose.yaml": "services: { db: { command: db -x } }"}, {"db": "db -x"}),
    (
        {"compose.yaml": "services: ["},
        {"web": "python3 -u -m http.server ${server.port} --bind ${server.host}"},
    ),
]


@pytest.mark.parametrize(("files", "commands"), FOUND)
def test_what_is_in_the_folder_is_recognised_and_the_file_loads(
    run: Run, tmp_path: Path, files: dict[str, str], commands: dict[str, str | None]
) -> None:
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    done = run("init")
    assert (done.returncode, done.stdout) == (
        0,
        "hostler.toml: written; next: hostler check hostler.toml\n",
    ), done
    text = (tmp_path / "hostler.toml").read_text()
    assert text.startswith("#:schema ./hostler.schema.json\n")
    servers = tomllib.loads(text)["servers"]
    assert {name: table.get("command") for name, table in servers.items()} == commands
    # `show` reads and checks all but the machine, on which these programs need not be.
    assert run("show").returncode == 0


def test_opencode_is_installed_by_the_first_start_where_it_is_missing(run: Run, tmp_path: Path) -> None:
    (tmp_path / "opencode.json").write_text("{}")
    assert run("init").returncode == 0
    server = tomllib.loads((tmp_path / "hostler.toml").read_text())["servers"]["opencode"]
    assert server["plugins"]["opencode"] == {"install": "if-missing"}


def test_an_example_is_written_where_nothing_is_found_and_nothing_is_overwritten(
    run: Run, tmp_path: Path
) -> None:
    assert run("init").returncode == 0
    checked = run("check")
    assert (checked.returncode, checked.stdout) == (0, "hostler.toml: OK, 1 server: web\n")
    ran = run("run", "hostler.toml", "--", "true")
    assert ran.returncode == 0, ran.stdout + ran.stderr
    before = (tmp_path / "hostler.toml").read_text()
    again = run("init", "redis")
    assert again.returncode == 2
    assert "hostler.toml exists already, and was not changed" in again.stderr
    assert (tmp_path / "hostler.toml").read_text() == before


def test_what_a_file_of_another_tool_has_besides_is_reported_by_line(run: Run, tmp_path: Path) -> None:
    (tmp_path / "Procfile").write_text("web: serve $PORT\nwrong\n")
    done = run("init")
    assert (done.returncode, done.stderr) == (0, "not carried over: Procfile:2: expected NAME: COMMAND\n")
    (tmp_path / "hostler.toml").unlink()
    (tmp_path / "Procfile").write_text("wrong\n")
    done = run("init")
    assert (done.returncode, done.stderr) == (
        0,
        "not carried over: Procfile: there is no process in it\n",
    )


@pytest.mark.skipif(shutil.which("npm") is None, reason="npm is not installed")
def test_a_script_of_npm_runs_until_it_is_ready(run: Run, tmp_path: Path) -> None:
    script = "require('http').createServer((q, a) => a.end('ok')).listen(process.env.PORT, process.env.HOST)"
    (tmp_path / "server.js").write_text(script)
    (tmp_path / "package.json").write_text('{"scripts": {"dev": "node server.js"}}')
    assert run("init").returncode == 0
    done = run("run", "hostler.toml", "--", "true")
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_recipe_is_taken_by_its_name(run: Run, tmp_path: Path) -> None:
    wrong = run("init", "redsi")
    assert wrong.returncode == 2
    assert 'there is no recipe "redsi"; did you mean "redis"?' in wrong.stderr
    for name in ("uvicorn", "nginx", "opencode"):
        (tmp_path / "hostler.toml").unlink(missing_ok=True)
        assert run("init", name).returncode == 0
        text = (tmp_path / "hostler.toml").read_text()
        assert "the folder of this file" in text
        assert "PWD" not in text, "the file stands in the folder where its servers run"
        assert "configs/" not in text
    assert run("show").returncode == 0
