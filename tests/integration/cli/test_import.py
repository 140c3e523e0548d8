"""`hostler import`: the files of other tools as TOML, with a line for what has no counterpart."""

from __future__ import annotations

import shutil
import tomllib
from pathlib import Path
from typing import Any

import pytest
from hostler_process import Run

PROCFILE = "# comment\nweb: serve -p $PORT\nworker: cd w && exec work ${X}\nwrong\n"
SUPERVISORD = """\
[supervisord]
[program:site]
command=python3 -m http.server 8000 ; comment
environment=A="b",C=d
autostart=false
autorestart=true
stopsignal=INT
stopwaitsecs=7
numprocs=2
[group:all]
programs=site
"""
PM2 = """{ "apps": [
  { "name": "my api", "script": "api.js", "args": ["--x", "a b"], "env": { "PORT": 80, "A": "${B}" },
    "max_memory_restart": "600M", "watch": true, "instances": 2 },
  { "script": "python3", "args": "-m w", "cwd": "x", "interpreter": "none" } ] }
"""
COMPOSE = """\
services:
  db: { image: "postgres" }
  migrate: { command: [ "migrate", "a b" ] }
  api:
    command: serve --host 0.0.0.0 --port 8391
    ports: ["80:8391"]
    environment: ["A=${A:-x}"]
    env_file: [{ path: .env, required: false }]
    restart: always
    depends_on: { migrate: { condition: service_completed_successfully }, db: {} }
    volumes: ["./x:/y"]
  other: { command: "other && x", ports: ["1:2"], depends_on: [api] }
  ranged: { command: ranged, ports: ["3000-3005"] }
"""
PROCESSES = "processes: { a: { command: work, ready_log_line: 'up (1)' } }"
CASES: list[tuple[str, str, dict[str, Any], list[str]]] = [
    (
        "Procfile",
        PROCFILE,
        {
            "web": {"command": "serve -p ${server.port}", "env": {"PORT": "${server.port}"}},
            "worker": {"command": ["sh", "-c", "cd w && exec work $${X}"], "port": False},
        },
        ["Procfile:4: expected NAME: COMMAND"],
    ),
    (
        "supervisord.conf",
        SUPERVISORD,
        {
            "site": {
                "command": "python3 -m http.server 8000",
                "env": {"A": "b", "C": "d"},
                "port": False,
                "autostart": False,
                "restart": {"policy": "always"},
                "stop_signal": "SIGINT",
                "force_kill_timeout": "7s",
            }
        },
        ["supervisord.conf:9: program:site.numprocs: has", "supervisord.conf:10: group:all: has"],
    ),
    (
        "ecosystem.config.json",
        PM2,
        {
            "my-api": {
                "command": "node api.js --x 'a b'",
                "env": {"PORT": "${server.port}", "A": "$${B}"},
                "port": 80,
                "plugins": {
                    "resource-limits": {"memory_hard": "600 MiB"},
                    "watch-files": {"paths": ["."]},
                },
            },
            "python3": {"command": "python3 -m w", "cwd": "x", "port": False},
        },
        ["ecosystem.config.json:3: my api.instances: has"],
    ),
    (
        "compose.yaml",
        COMPOSE,
        {
            "migrate": {"command": "migrate 'a b'", "kind": "task"},
            "api": {
                "command": "serve --host ${server.host} --port ${server.port}",
                "env": {"A": "${A:-x}"},
                "env_file": [{"path": ".env", "optional": True}],
                "restart": {"policy": "always"},
                "needs": {"migrate": "completed"},
            },
            "other": {"command": ["sh", "-c", "other && x"], "port": 2, "needs": {"api": "started"}},
            "ranged": {"command": "ranged"},
        },
        [
            "compose.yaml:2: services.db: has no command",
            "compose.yaml:10: services.api.depends_on.db: this server is not there",
            "compose.yaml:11: api.volumes: has no counterpart here",
            "compose.yaml:13: ranged.ports: hostler chooses a port",
        ],
    ),
    (
        "process-compose.yaml",
        PROCESSES,
        {"a": {"command": "work", "port": False, "plugins": {"log-ready": {"pattern": r"up\ \(1\)"}}}},
        [],
    ),
]


# What each tool fills in or unquotes itself has to mean the same here, and no value may be cut off.
FILLED_IN: list[tuple[str, str, dict[str, Any]]] = [
    (
        "supervisord.conf",
        """\
[program:a]
command=%(program_name)s -b :%(ENV_PORT)s $x 5%%
environment=A="b,c",B='x y',C="%(ENV_D)s$"
autostart=False
autorestart=TRUE
""",
        {
            "a": {
                "command": "a -b :${server.port} $$x 5%",
                "env": {"A": "b,c", "B": "x y", "C": "${D}$$"},
                "autostart": False,
                "restart": {"policy": "always"},
            }
        },
    ),
    (
        "compose.yaml",
        """\
services:
  a:
    command: serve --port 8000 $$A $B
    ports: [{ target: 8000, published: 80 }]
    environment: { A: true, B: null, C: "${C:?needed}", D: "${D-x}" }
  b: { command: ["sh", "-c", "echo $$HOME; x"], environment: [A, "B=1"] }
  c: { command: "echo $$HOME && x" }
  d: { command: }
""",
        {
            "a": {
                "command": "serve --port ${server.port} $$A ${B}",
                "env": {"A": "true", "B": "${B:-}", "C": "${C}", "D": "${D:-x}"},
            },
            "b": {
                "command": "sh -c 'echo $$HOME; x'",
                "env": {"A": "${A:-}", "B": "1"},
                "port": False,
            },
            "c": {"command": ["sh", "-c", "echo $$HOME && x"], "port": False},
        },
    ),
    (
        "process-compose.yaml",
        "processes: { 'a b': { command: \"x\\ny\\n\" }, a-b: { command: z } }",
        {
            "a-b": {"command": "sh -c 'x\ny\n'", "port": False},
            "a-b-2": {"command": "z", "port": False},
        },
    ),
    (
        "ecosystem.config.json",
        '[{ "script": "a.py", "watch": ["src"] }]',
        {
            "a-py": {
                "command": "python3 a.py",
                "port": False,
                "plugins": {"watch-files": {"paths": ["src"]}},
            }
        },
    ),
]


SUPERVISED_COMPOSE = """\
services:
  a:
    command: serve --port 8000
    healthcheck: { test: [CMD, curl, -f, "http://localhost:8000/h?x=1"], interval: 1m30s, retries: 3 }
    restart: on-failure:3
  b:
    command: ["b"]
    healthcheck: { test: "pg_isready -U $X | grep x", start_period: 3s, timeout: 5s }
    restart: "no"
    stop_grace_period: 1m30s
    stop_signal: SIGINT
  c: { command: c, healthcheck: { test: "wget -q http://localhost:81/ || exit 1" }, restart: sometimes }
  d: { command: d -p 5432, ports: ["5432"], healthcheck: { test: [CMD, pg_isready, -p, "5432"] } }
  e: { command: e, healthcheck: { test: [CMD, curl, -H, "a: b", "http://localhost/"] } }
  f: { command: f, healthcheck: { disable: true } }
"""
SUPERVISED_PROCESSES = """\
processes:
  a:
    command: serve 8080
    readiness_probe: { http_get: { host: 127.0.0.1, port: 8080, path: /h, scheme: https }, period_seconds: 5 }
    availability: { restart: on_failure, backoff_seconds: 2, max_restarts: 4 }
    shutdown: { signal: 2, timeout_seconds: 10 }
  b:
    command: b
    readiness_probe: { exec: { command: check x }, failure_threshold: 2, initial_delay_seconds: 1 }
    disabled: true
    depends_on: { c: { condition: process_completed } }
  c: { command: c, availability: { restart: always, max_restarts: 2 } }
  d: { command: d, availability: { restart: exit_on_failure } }
"""
SUPERVISED: list[tuple[str, str, dict[str, Any], list[str]]] = [
    (
        "compose.yaml",
        SUPERVISED_COMPOSE,
        {
            "a": {
                "command": "serve --port ${server.port}",
                "restart": {"policy": "on-failure", "max_restarts": 3},
                "plugins": {
                    "http-health": {"path": "/h?x=1", "status": "200-399", "interval": "90s", "failures": 3}
                },
            },
            "b": {
                "command": "b",
                "port": False,
                "restart": {"policy": "never"},
                "stop_signal": "SIGINT",
                "force_kill_timeout": "90s",
                "plugins": {
                    "exec-health": {"command": ["sh", "-c", "pg_isready -U ${X} | grep x"], "timeout": "5s"}
                },
            },
            "c": {
                "command": "c",
                "port": False,
                "plugins": {"http-health": {"path": "/", "status": "200-399", "port": 81}},
            },
            "d": {
                "command": "d -p ${server.port}",
                "plugins": {"exec-health": {"command": ["pg_isready", "-p", "${server.port}"]}},
            },
            "e": {
                "command": "e",
                "port": False,
                "plugins": {"exec-health": {"command": ["curl", "-H", "a: b", "http://localhost/"]}},
            },
            "f": {"command": "f", "port": False},
        },
        ["compose.yaml:8: b.healthcheck.start_period: has", "compose.yaml:12: c.restart: has"],
    ),
    (
        "process-compose.yaml",
        SUPERVISED_PROCESSES,
        {
            "a": {
                "command": "serve ${server.port}",
                "restart": {"policy": "on-failure", "max_restarts": 4, "initial_delay": "2s"},
                "stop_signal": "SIGINT",
                "force_kill_timeout": "10s",
                "plugins": {"http-health": {"path": "/h", "scheme": "https", "interval": "5s"}},
            },
            "b": {
                "command": "b",
                "port": False,
                "autostart": False,
                "needs": {"c": "completed"},
                "plugins": {"exec-health": {"command": ["sh", "-c", "check x"], "failures": 2}},
            },
            "c": {"command": "c", "kind": "task", "restart": {"max_restarts": 2}},
            "d": {"command": "d", "port": False},
        },
        [
            "process-compose.yaml:9: b.readiness_probe.initial_delay_seconds: has",
            "process-compose.yaml:13: d.availability.restart: has",
        ],
    ),
    (
        "ecosystem.config.json",
        """[{ "script": "a", "autorestart": false, "max_restarts": 10, "exp_backoff_restart_delay": 100,
        "kill_timeout": "3000" }]""",
        {
            "a": {
                "command": "a",
                "port": False,
                "restart": {"policy": "never", "max_restarts": 10, "initial_delay": "100ms"},
                "force_kill_timeout": "3000ms",
            }
        },
        [],
    ),
    (
        "supervisord.conf",
        "[program:a]\ncommand=a\nautorestart=unexpected\nstartretries=5\nnumprocs=1\n",
        {"a": {"command": "a", "port": False, "restart": {"policy": "on-failure", "start_retries": 5}}},
        [],
    ),
]


@pytest.mark.parametrize(
    ("name", "text", "lines"),
    [
        (
            "compose.yaml",
            (
                "services:\n  a: { command: a, depends_on: [b], labels: [x] }\n  b:\n    command: labels\n"
                "    labels: [x]\n"
            ),
            ["2: a.labels", "5: b.labels"],
        ),
        (
            "supervisord.conf",
            "[program:a]\ncommand=priority x\npriority=1\n[program:b]\ncommand=b\npriority = 2\n",
            ["3: program:a.priority", "6: program:b.priority"],
        ),
        (
            "ecosystem.config.json",
            '[{ "script": "a.js",\n"merge_logs": true },\n{ "merge_logs": true,\n"script": "a.js" }]\n',
            ["2: a.js.merge_logs", "3: a.js.merge_logs"],
        ),
    ],
)
def test_each_of_several_equal_keys_is_reported_with_its_own_line(
    run: Run, tmp_path: Path, name: str, text: str, lines: list[str]
) -> None:
    (tmp_path / name).write_text(text)
    messages = [row for row in run("import", name).stderr.splitlines() if "the name" not in row]
    assert [row.partition(": has no")[0] for row in messages] == [
        f"not carried over: {name}:{line}" for line in lines
    ]


@pytest.mark.parametrize(
    ("name", "text", "servers", "left_out"), SUPERVISED, ids=[case[0] for case in SUPERVISED]
)
def test_checks_restarts_and_stops_are_carried_over(
    run: Run, tmp_path: Path, name: str, text: str, servers: dict[str, Any], left_out: list[str]
) -> None:
    (tmp_path / name).write_text(text)
    done = run("import", name, "--output", "hostler.toml")
    messages = [line.removeprefix("not carried over: ") for line in done.stderr.splitlines()]
    assert [one.startswith(start) for one, start in zip(messages, left_out, strict=True)].count(False) == 0, (
        done
    )
    assert tomllib.loads((tmp_path / "hostler.toml").read_text())["servers"] == servers
    shown = run("show")
    assert shown.returncode == 0, shown.stderr


@pytest.mark.parametrize(("name", "text", "servers"), FILLED_IN, ids=[case[0] for case in FILLED_IN])
def test_what_a_tool_fills_in_or_unquotes_means_the_same(
    run: Run, tmp_path: Path, name: str, text: str, servers: dict[str, Any]
) -> None:
    (tmp_path / name).write_text(text)
    (tmp_path / "src").mkdir()
    assert run("import", name, "--output", "hostler.toml").returncode == 0
    assert tomllib.loads((tmp_path / "hostler.toml").read_text())["servers"] == servers
    shown = run("show")
    assert shown.returncode == 0, shown.stderr


@pytest.mark.parametrize(("name", "text", "servers", "left_out"), CASES, ids=[case[0] for case in CASES])
def test_a_file_of_another_tool_is_carried_over_and_the_rest_is_reported_by_line(
    run: Run, tmp_path: Path, name: str, text: str, servers: dict[str, Any], left_out: list[str]
) -> None:
    (tmp_path / name).write_text(text)
    (tmp_path / "x").mkdir()
    done = run("import", name)
    assert done.returncode == 0, done.stderr
    assert tomllib.loads(done.stdout)["servers"] == servers
    messages = [line.removeprefix("not carried over: ") for line in done.stderr.splitlines()]
    assert len(messages) == len(left_out), messages
    assert all(message.startswith(start) for message, start in zip(messages, left_out, strict=True)), messages
    assert run("import", name, "--output", "hostler.toml").returncode == 0
    assert run("show").returncode == 0, run("show").stderr
    assert run("import", name, "--output", "hostler.toml").returncode == 2


@pytest.mark.skipif(shutil.which("node") is None, reason="node is not installed")
def test_a_program_of_pm2_is_read_by_node(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "ecosystem.config.js"
    file.write_text("module.exports = { apps: [{ name: 'a', script: 'x' + '.js' }] }")
    assert tomllib.loads(run("import", file.name).stdout)["servers"]["a"]["command"] == "node x.js"
    file.write_text("module.exports = {")
    assert "node cannot read it" in run("import", file.name).stderr


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("x.txt", "", "expected Procfile"),
        ("compose.yaml", "services: [", "cannot be imported"),
        ("compose.yaml", "", "expected tables below services"),
        ("compose.yaml", "services: { a: }", "expected tables below services"),
        ("a.json", "{", "cannot be imported"),
        ("a.json", '[{ "name": "a" }]', "a 'script' is missing"),
        ("a.conf", "[program:a]", "a 'command' is missing"),
        ("Procfile", "# nothing\n", "there is no process in it"),
    ],
)
def test_what_cannot_be_imported_says_why(
    run: Run, tmp_path: Path, name: str, text: str, message: str
) -> None:
    (tmp_path / name).write_text(text)
    done = run("import", name)
    assert done.returncode == 2
    assert message in done.stderr
