"""What bundled health plugins have in common: a second check, and what `hostler check` says of them."""

from __future__ import annotations

import os
import shutil
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest
from hostler import Directories, Healthy, InvalidConfiguration, PluginSpec, ServerSpec, Supervisor, from_dict
from hostler.config.preflight.inspector import Inspector
from hostler.plugins.options import build
from http_pages import HealthContext

OPTIONS: dict[str, dict[str, Any]] = {"log-ready": {"pattern": "ready"}, "notify-ready": {"watchdog": "1s"}}


@pytest.mark.parametrize("name", OPTIONS)
async def test_a_check_that_is_started_again_knows_what_was_said_before(
    name: str, directories: Directories, tmp_path: Path
) -> None:
    """The engine does so when a check fails; what is said by then is not said twice."""
    if name == "notify-ready" and shutil.which("systemd-notify") is None:
        pytest.skip("there is no systemd-notify")

    plugin: Any = build(PluginSpec(name, OPTIONS[name]))
    script = "systemd-notify --ready" if name == "notify-ready" else "echo ready"
    spec = ServerSpec(
        name="worker",
        command=("/bin/sh", "-c", f"{script}; exec sleep 60"),
        port=None,
        plugins=(PluginSpec(name, instance=plugin),),
    )
    async with Supervisor(spec, directories=directories) as supervisor:
        await supervisor["worker"].wait_ready(10)
        async with aclosing(plugin.health_check(supervisor["worker"])) as again:
            assert isinstance(await anext(again), Healthy)


def said(folder: Path, plugin: str, options: dict[str, object], **server: object) -> list[str]:
    table = {"command": ["true"], "plugins": {plugin: options}, **server}
    configuration = from_dict({"servers": {"web": table}}, base=folder)
    directories = Directories(folder / "state", folder / "data", folder / "cache")
    return [one.message for one in Inspector(configuration, directories, os.environ).observations()]


@pytest.mark.parametrize(
    ("plugin", "options", "server", "message"),
    [
        ("exec-health", {"command": ["true"]}, {}, None),
        ("exec-health", {"command": ["./probe"]}, {}, None),
        (
            "exec-health",
            {"command": ["no-such-probe"]},
            {},
            "there is no program no-such-probe for exec-health",
        ),
        ("exec-health", {"command": ["./gone"]}, {}, "there is no program ./gone for exec-health"),
        ("http-health", {"ca": "probe"}, {}, None),
        ("http-health", {"ca": "gone", "verify": False}, {}, None),
        ("http-health", {"ca": "gone"}, {}, "there is no file gone with certificates for http-health"),
        ("tcp-health", {"port": 1}, {"port": False}, None),
        ("log-ready", {"pattern": "x"}, {"stderr": "ignore"}, None),
        (
            "log-ready",
            {"pattern": "x", "stream": "stderr"},
            {"stderr": "ignore"},
            "log-ready cannot read stderr: it is not captured",
        ),
    ],
)
def test_what_could_not_work_is_found_before_the_start(
    tmp_path: Path, plugin: str, options: dict[str, object], server: dict[str, object], message: str | None
) -> None:
    (tmp_path / "probe").touch(mode=0o755)
    assert said(tmp_path, plugin, options, **server) == ([] if message is None else [message])


@pytest.mark.parametrize("plugin", ["http-health", "sse-health", "tcp-health"])
@pytest.mark.parametrize(
    ("server", "why"), [({"port": False}, "port = false"), ({"kind": "task"}, "this is a task")]
)
def test_a_probe_of_a_server_without_a_port_is_a_mistake_of_the_configuration(
    tmp_path: Path, plugin: str, server: dict[str, object], why: str
) -> None:
    with pytest.raises(InvalidConfiguration) as caught:
        said(tmp_path, plugin, {}, **server)
    (problem,) = caught.value.problems
    assert problem.key == f"servers.web.plugins.{plugin}"
    assert problem.message == f"{plugin} needs a server with a port, and there is none ({why})"


@pytest.mark.parametrize("name", ["http-health", "sse-health", "tcp-health"])
async def test_a_probe_that_finds_no_endpoint_says_so_once_and_for_all(name: str) -> None:
    plugin: Any = build(PluginSpec(name))
    async with aclosing(plugin.health_check(HealthContext(), None)) as reports:
        (report,) = [one async for one in reports]
    assert report.permanent
    assert isinstance(report.error, InvalidConfiguration)
    assert "needs a server with a port" in report.reason
