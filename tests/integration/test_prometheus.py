"""A real Prometheus scrapes a real hostler over TCP, and the queries of the dashboard find what is there."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from controlled import controlled
from hostler import ControlSpec, Directories, PluginSpec, RestartPolicy, State
from scraped import promtool
from specs import MakeSpec, announced, worker
from tcp_client import TcpClient, over_tcp

EXAMPLES = Path(__file__).parents[2] / "configs" / "grafana"
PROMETHEUS = shutil.which("prometheus")
WORDS = {"$__rate_interval": "10s", "$__range": "60s", "$instance": ".*", "$server": ".*"}


def queries() -> Iterator[str]:
    """Those of all panels, with the variables filled as Grafana does for "All"."""
    board = json.loads((EXAMPLES / "hostler.json").read_text())
    for panel in board["panels"]:
        for target in panel["targets"]:
            query = target["expr"]
            for word, value in WORDS.items():
                query = query.replace(word, value)
            assert "$" not in query
            yield query


def example_for(tcp: TcpClient, folder: Path) -> Path:
    """The shipped prometheus.yml, at this address and with this token file, and in a hurry."""
    text = (EXAMPLES / "prometheus.yml").read_text()
    for old, new in (
        ("scrape_interval: 15s", "scrape_interval: 500ms\n  scrape_timeout: 500ms"),
        ("/run/user/1000/hostler/0123456789abcdef.read.token", str(tcp.files["read"])),
        ('targets: ["127.0.0.1:4711"]', f'targets: ["{tcp.host}"]'),
    ):
        assert text.count(old) == 1
        text = text.replace(old, new)
    file = folder / "prometheus.yml"
    file.write_text(text)
    return file


class Prometheus:
    """Asks a Prometheus that runs."""

    def __init__(self, address: str) -> None:
        self._url = f"http://{address}/api/v1/query?"

    async def ask(self, query: str) -> list[Any]:
        answer = await asyncio.to_thread(self._get, query)
        assert answer["status"] == "success", answer
        return list(answer["data"]["result"])

    def _get(self, query: str) -> Any:
        with urllib.request.urlopen(
            self._url + urllib.parse.urlencode({"query": query}), timeout=20
        ) as found:
            return json.load(found)

    async def until(self, query: str) -> None:
        """Wait until a query finds something."""
        async with asyncio.timeout(40):
            while not await self._found(query):  # noqa: ASYNC110 - of another process
                await asyncio.sleep(0.2)

    async def _found(self, query: str) -> bool:
        try:
            return bool(await self.ask(query))
        except OSError:  # it does not listen yet
            return False


@contextmanager
def prometheus(config: Path, folder: Path) -> Iterator[Prometheus]:
    assert PROMETHEUS is not None
    with socket.create_server(("127.0.0.1", 0)) as free:
        address = f"127.0.0.1:{free.getsockname()[1]}"
    argv = [PROMETHEUS, f"--config.file={config}", f"--storage.tsdb.path={folder / 'data'}"]
    with (folder / "prometheus.log").open("wb") as log:
        process = subprocess.Popen([*argv, f"--web.listen-address={address}"], stdout=log, stderr=log)
    try:
        yield Prometheus(address)
    finally:
        process.terminate()
        process.wait(20)


@pytest.mark.skipif(PROMETHEUS is None, reason="prometheus is not there; apt-get install prometheus")
async def test_prometheus_scrapes_hostler_and_each_query_of_the_dashboard_finds_something(
    make_spec: MakeSpec, directories: Directories, tmp_path: Path
) -> None:
    """Some seconds: a rate needs several scrapes."""
    plugins = (announced(), PluginSpec("sse-health"), PluginSpec("tcp-health", options={"interval": "50ms"}))
    later = RestartPolicy(initial_delay=600, max_delay=600, start_retries=3)
    specs = (
        make_spec("--heartbeat", "0.1", plugins=plugins),
        worker(make_spec, "false", name="waiting", restart=later),
    )
    spec = ControlSpec(tcp="127.0.0.1:0")
    async with controlled(*specs, directories=directories, spec=spec) as client:
        server = client.supervisor["fake"]
        await server.wait_ready(timeout=20)
        await client.supervisor["waiting"].wait_for(State.BACKOFF, timeout=20)
        config = example_for(over_tcp(client), tmp_path)
        assert promtool("check", "config", str(config))[0] == 0
        with prometheus(config, tmp_path) as found:
            await found.until('up{job="hostler"} == 1')
            assert server.pid is not None
            os.kill(server.pid, signal.SIGKILL)
            await found.until('increase(hostler_server_crashes_total{server="fake",cause="exited"}[10s]) > 0')
            await found.until('hostler_server_up{server="fake"} == 1')
            await found.until('hostler_server_processes{server="fake"} > 0')
            empty = [query for query in queries() if not await found.ask(query)]
            assert empty == []


def test_the_dashboard_uses_metrics_that_the_page_has_and_has_all_that_tell_of_servers() -> None:
    page = (EXAMPLES.parents[1] / "docs" / "metrics.md").read_text()
    named = set(re.findall(r"^\| `(hostler_\w+)", page, re.MULTILINE))
    used = {re.sub("_bucket$", "", name) for query in queries() for name in re.findall(r"hostler_\w+", query)}
    assert used <= named
    assert named <= used
