"""`[defaults]`: what all servers of a configuration have in common."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from hostler.config.load import load, load_resolved
from hostler.config.provenance import origins_of
from hostler.errors import InvalidConfiguration
from hostler.model.choices import RestartMode

Write = Callable[[str, str], Path]

BASE = """\
[defaults]
startup_timeout = "9s"
cwd = "work"
env = { STAGE = "test", DB = "${servers.db.url}" }

[defaults.plugins]
first = { use = "../plugin.py:Launcher", count = 2, pattern = "p" }

[templates.site]
command = ["serve"]
startup_timeout = "8s"
env = { STAGE = "template" }
"""
TOP = """\
extends = ["lib/base.toml"]

[defaults.plugins]
second = { use = "plugin.py:Watcher" }

[servers.db]
command = ["db"]

[servers.web]
command = ["web"]
plugins = { first = { count = 3 }, second = false }

[servers.site]
template = "site"
env = { STAGE = "own" }

[profiles.ci.defaults]
startup_timeout = "1m"
plugins = { second = false }
"""


def mistakes(path: Path) -> list[str]:
    with pytest.raises(InvalidConfiguration) as caught:
        load(path)
    return [str(problem) for problem in caught.value.problems]


def test_defaults_lie_below_templates_and_servers_of_all_files(write: Write, tmp_path: Path) -> None:
    write("lib/base.toml", BASE)
    servers = load(write("hostler.toml", TOP)).servers
    options = {name: {one.name: one.options for one in spec.plugins} for name, spec in servers.items()}
    assert {name: spec.startup_timeout for name, spec in servers.items()} == {"db": 9, "web": 9, "site": 8}
    assert [servers[name].env["STAGE"] for name in servers] == ["test", "test", "own"]
    assert servers["web"].cwd == tmp_path / "lib" / "work", "a path is seen from the file that contains it"
    assert options["db"] == {"first": {"count": 2, "pattern": "p"}, "second": {}}
    assert options["web"] == {"first": {"count": 3, "pattern": "p"}}
    # What refers to a server means nothing for that server itself.
    assert "DB" not in servers["db"].env
    assert servers["web"].needed[0].server == "db"


def test_profiles_and_settings_change_defaults_and_the_origin_is_their_line(write: Write) -> None:
    write("lib/base.toml", BASE)
    file = write("hostler.toml", TOP)
    settings = {"defaults.max_connection_failures": 7}
    configuration, resolved, *_ = load_resolved(file, profiles=["ci"], settings=settings)
    assert configuration.servers["db"].startup_timeout == 60
    assert configuration.servers["db"].max_connection_failures == 7
    assert [one.name for one in configuration.servers["db"].plugins] == ["first"]
    origins = {one.key: one.place for one in origins_of(resolved["web"])}
    assert origins["servers.web.plugins.first.pattern"] == "lib/base.toml:7"
    assert origins["servers.web.startup_timeout"] == "profile ci (hostler.toml:18)"
    assert load(file, settings={"servers.db.port": 0}).templates["site"]("more").env["STAGE"] == "template"


def test_what_does_not_apply_to_a_server_is_left_out_there(write: Write) -> None:
    text = """\
    [defaults]
    port = 0
    scheme = "https"
    task_timeout = "9s"
    env = { PORT = "${server.port}", STAGE = "test" }
    restart = { policy = "always", max_restarts = 2 }
    [defaults.plugins]
    regex-port = true
    http-health = { path = "/" }
    exec-health = { command = ["ask", "${server.port}"] }
    log-rotation = true
    [servers.task]
    kind = "task"
    command = ["true"]
    [servers.worker]
    command = ["true"]
    port = false
    [servers.web]
    command = ["true"]
    """
    servers = load(write("hostler.toml", text)).servers
    task, worker, web = servers["task"], servers["worker"], servers["web"]
    assert [one.name for one in task.plugins] == [one.name for one in worker.plugins] == ["log-rotation"]
    assert [one.name for one in web.plugins] == ["regex-port", "http-health", "exec-health", "log-rotation"]
    assert [set(one.env) for one in (task, worker, web)] == [{"STAGE"}, {"STAGE"}, {"PORT", "STAGE"}]
    assert (task.restart.policy, task.restart.max_restarts) == (RestartMode.ON_FAILURE, 2)
    assert (task.task_timeout, web.task_timeout, web.restart.policy) == (9, 0, RestartMode.ALWAYS)
    # What the server's own table names is meant.
    own = text + "[servers.own]\nport = false\ncommand = ['true']\nplugins = { http-health = true }\n"
    (wrong,) = mistakes(write("hostler.toml", own))
    assert "http-health needs a server with a port" in wrong


def test_a_mistake_in_the_defaults_is_reported_once_at_its_line(write: Write) -> None:
    text = """\
    [defaults]
    command = ["x"]
    startup_timout = "1s"
    env = { A = "${servers.wbe.url}", B = "${" }
    [defaults.plugins]
    log-rotation = { kep = 1 }
    [servers.a]
    command = ["true"]
    [servers.b]
    command = ["true"]
    [profiles.x.defaults]
    comand = 1
    """
    found = [" ".join(one.split()[:2]) for one in mistakes(write("hostler.toml", text))]
    assert found == [
        "hostler.toml:2: defaults.command:",
        "hostler.toml:3: defaults.startup_timout:",
        "hostler.toml:4: servers.a.env.B:",
        "hostler.toml:4: servers.a.env.A:",
        "hostler.toml:6: defaults.plugins.log-rotation.kep:",
        "hostler.toml:12: profiles.x.defaults.comand:",
    ]
    for wrong in ("defaults = 1", "[defaults.plugins]\nlog-rotation = 1", "defaults.env = 1"):
        text = f"{wrong}\n[servers.a]\ncommand = ['true']\nport = false\n"
        assert mistakes(write("hostler.toml", text))[0].startswith("hostler.toml:"), wrong
