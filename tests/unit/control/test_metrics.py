"""What Prometheus scrapes: of which servers, which counters, in which form, and without which library."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from pathlib import Path

import pytest
from controlled import Client, controlled
from hostler import (
    ControlSpec,
    Directories,
    Endpoint,
    Healthy,
    Launch,
    PluginSpec,
    Report,
    RestartPolicy,
    ServerSpec,
    ServerView,
    State,
    StreamName,
    Unhealthy,
    __version__,
    hookimpl,
)
from hostler.cli.client.transport import StreamRefused, stream
from hostler.control.event_stream import EventStream
from scraped import OPEN_METRICS, Scrape, Series, promtool, scrape
from specs import MakeSpec, announced, worker
from tcp_client import over_tcp

PAGE = Path(__file__).parents[3] / "docs" / "metrics.md"
ON_TCP = ControlSpec(tcp="127.0.0.1:0")
SECRET = "hunter2-of-the-metrics"


def watched(make_spec: MakeSpec, **fields: object) -> ServerSpec:
    """A server with an event stream, health plugins that measure, a secret, and output."""
    plugins = (
        announced(),
        PluginSpec("sse-health"),
        PluginSpec("tcp-health", options={"interval": "50ms"}),
        PluginSpec("log-rotation"),
    )
    env = {"API_TOKEN": SECRET}
    switches = ("--heartbeat", "0.05", "--print-error", "a warning", "--print-env", "API_TOKEN")
    return make_spec(*switches, plugins=plugins, env=env, **fields)


async def crash(client: Client) -> None:
    server = client.supervisor["fake"]
    generation = server.generation
    assert server.pid is not None
    os.kill(server.pid, signal.SIGKILL)
    await server.until(lambda: server.generation > generation and server.usable)


# -- what there is ---------------------------------------------------------------------------------


async def test_all_that_the_page_names_is_told_and_nothing_else(
    make_spec: MakeSpec, directories: Directories
) -> None:
    later = RestartPolicy(initial_delay=600, max_delay=600, start_retries=3)
    waiting = worker(make_spec, "false", name="waiting", restart=later)
    async with controlled(watched(make_spec), waiting, directories=directories) as client:
        servers = client.supervisor.servers
        await servers["fake"].wait_ready(timeout=20)
        await servers["waiting"].wait_for(State.BACKOFF, timeout=20)
        await scrape(client)  # it is counted itself
        found = await scrape(client)
        while found.of_server("processes") is None:  # a new run is sampled beside the first scrape
            found = await scrape(client)
    named = re.findall(r"^\| `(hostler_\w+)", PAGE.read_text(), re.MULTILINE)
    assert found.names == set(named)
    assert len(named) == len(set(named))
    for family in ("process_resident_memory_bytes", "process_cpu_seconds_total", "process_open_fds"):
        assert any(series.name == family for series in found.values)
    assert found.value("build_info", version=__version__) == 1


async def test_a_server_is_told_as_it_is(make_spec: MakeSpec, directories: Directories) -> None:
    async with controlled(watched(make_spec), directories=directories) as client:
        server = client.supervisor["fake"]
        await server.wait_ready(timeout=20)
        up = await scrape(client)
        while not (up.of_server("stream_events_total") or 0) > 2:
            up = await scrape(client)
        assert (up.of_server("up"), up.of_server("wanted"), up.of_server("healthy")) == (1, 1, 1)
        assert {state: up.of_server("state", state=state.value) for state in State} == {
            state: float(state is State.RUNNING) for state in State
        }
        assert 0 < (up.of_server("ready_seconds") or 0) < 20
        assert (up.of_server("restarts_used"), up.of_server("restarts_allowed")) == (
            0,
            server.spec.restart.max_restarts,
        )
        assert (up.of_server("log_bytes_total", stream="stderr") or 0) >= len("a warning\n")
        assert (up.of_server("health_latency_seconds_count", plugin="tcp-health") or 0) > 0
        assert up.of_server("health_latency_seconds_bucket", plugin="tcp-health", le="+Inf") == up.of_server(
            "health_latency_seconds_count", plugin="tcp-health"
        )
        calls = {"plugin": "tcp-health", "hook": "health_check"}
        assert (up.value("plugin_calls_total", **calls, outcome="ok") or 0) > 0

        await server.stop()
        down = await scrape(client)
        assert (down.of_server("up"), down.of_server("wanted"), down.of_server("healthy")) == (0, 0, None)
        assert down.of_server("state", state="stopped") == 1
        assert down.of_server("resident_memory_bytes") is None
        assert down.of_server("ready_seconds") is None


async def test_no_pid_no_address_and_no_secret_is_in_it(
    make_spec: MakeSpec, directories: Directories
) -> None:
    async with controlled(watched(make_spec), directories=directories, spec=ON_TCP) as client:
        server = client.supervisor["fake"]
        await server.wait_ready(timeout=20)
        tcp = over_tcp(client)
        await tcp.ask(f"/v1/servers/{SECRET}")
        text = (await scrape(client)).text
        assert server.endpoint is not None
        labels = " ".join(re.findall(r"\{.*\}", text))
        for word in (SECRET, *tcp.tokens.values(), str(server.pid), str(server.endpoint.port), "://", "127."):
            assert word not in labels


# -- counters --------------------------------------------------------------------------------------


async def test_counters_never_go_back_whatever_happens_to_servers(
    make_spec: MakeSpec, directories: Directories
) -> None:
    other = worker(make_spec, "sh", "-c", "echo said; exec sleep 60", name="other")
    async with controlled(watched(make_spec), other, directories=directories) as client:
        supervisor = client.supervisor
        await supervisor.wait_ready(timeout=20)
        server = supervisor["fake"]

        async def stop_and_start() -> None:
            await server.stop()
            await server.ensure()

        async def reload() -> None:
            await supervisor.reload([watched(make_spec, memory_interval=30.0), other])
            await server.wait_ready(timeout=20)

        before = await scrape(client)
        crashes = partial(crash, client)
        steps: tuple[Callable[[], Awaitable[None]], ...] = (
            crashes,
            server.restart,
            crashes,
            stop_and_start,
            reload,
        )
        for happens in steps:
            await happens()
            await server.wait_ready(timeout=20)
            after = await scrape(client)
            back = {one: (old, after.values.get(one)) for one, old in before.counters.items()}
            assert {one: two for one, two in back.items() if two[1] is None or two[1] < two[0]} == {}
            before = after
        assert before.of_server("crashes_total", cause="exited") == 2
        assert before.of_server("crashes_total", cause="unhealthy") == 0
        assert before.of_server("starts_total") == 6


async def test_what_is_counted_of_all_servers_stays_when_one_is_removed(
    make_spec: MakeSpec, directories: Directories
) -> None:
    other = worker(make_spec, "sleep", "60", name="other")
    async with controlled(watched(make_spec), other, directories=directories) as client:
        await client.supervisor.wait_ready(timeout=20)
        before = await scrape(client)
        await client.supervisor.remove("fake")
        after = await scrape(client)
        of_servers = {dict(series.labels).get("server") for series in after.values}
        assert of_servers == {None, "other"}
        sums = {one: v for one, v in before.counters.items() if one.name.startswith("hostler_plugin")}
        assert sums
        assert {one: v for one, v in sums.items() if after.values[one] < v} == {}

        await client.supervisor.add(watched(make_spec))  # a new one: counted from the beginning
        await client.supervisor["fake"].wait_ready(timeout=20)
        assert (await scrape(client)).of_server("starts_total") == 1


class Doubtful:
    """Says four times that it is not healthy, twice with a time that is none, and fails in a hook."""

    @hookimpl
    async def health_check(self, server: ServerView, endpoint: Endpoint | None) -> AsyncIterator[Report]:
        yield Unhealthy("not yet", latency=0.2)
        yield Unhealthy("not yet", latency=20)
        yield Unhealthy("not yet", latency=-1)
        yield Unhealthy("not yet", latency=float("nan"))
        yield Healthy()
        await asyncio.Event().wait()

    @hookimpl
    async def on_ready(self, server: ServerView) -> None:
        raise ValueError("no")


async def test_failures_are_counted_by_plugin(make_spec: MakeSpec, directories: Directories) -> None:
    spec = make_spec(plugins=(announced(), PluginSpec("doubtful", instance=Doubtful())))
    async with controlled(spec, directories=directories) as client:
        server = client.supervisor["fake"]
        await server.wait_ready(timeout=20)
        while ("doubtful", "on_ready") not in server.hook_stats:
            await scrape(client)
        found = await scrape(client)
    assert found.of_server("health_failures_total", plugin="doubtful") == 4
    latency = {
        bound: found.of_server("health_latency_seconds_bucket", plugin="doubtful", le=bound)
        for bound in ("0.1", "0.25", "10.0", "+Inf")
    }
    assert latency == {"0.1": 0, "0.25": 1, "10.0": 1, "+Inf": 2}
    assert found.of_server("health_latency_seconds_sum", plugin="doubtful") == 20.2
    calls = {"plugin": "doubtful", "hook": "on_ready"}
    assert found.value("plugin_calls_total", **calls, outcome="failed") == 1
    assert found.value("plugin_calls_total", **calls, outcome="ok") == 0
    assert (found.value("plugin_seconds_total", **calls) or 0) > 0


class FullDisk:
    """A sink that loses all."""

    def write(self, stream: StreamName, data: bytes) -> None:
        raise OSError(28, "No space left on device")

    def close(self) -> None: ...


class Writes:
    @hookimpl
    async def pre_spawn(self, launch: Launch) -> None:
        launch.sinks.append(FullDisk())


async def test_output_that_a_sink_loses_is_counted(make_spec: MakeSpec, directories: Directories) -> None:
    spec = make_spec(
        command=("sh", "-c", "echo 12345; exec sleep 60"),
        port=None,
        plugins=(PluginSpec("writes", instance=Writes()),),
    )
    async with controlled(spec, directories=directories) as client:
        server = client.supervisor["fake"]
        await server.wait_ready(timeout=20)
        while server.counts.lost_output < 6:
            await server.restart()
        found = await scrape(client)
        assert found.of_server("log_dropped_bytes_total") == server.counts.lost_output
        assert found.of_server("log_bytes_total", stream="stdout") == server.counts.output["stdout"]


class Talks:
    """Tells more than a follower takes that does not look."""

    @hookimpl
    async def on_ready(self, server: ServerView) -> None:
        for number in range(9000):
            server.notice("number", str(number))
        server.notice("last", "")


async def test_events_that_somebody_was_too_slow_for_are_counted(
    make_spec: MakeSpec, directories: Directories
) -> None:
    spec = make_spec(plugins=(announced(), PluginSpec("talks", instance=Talks())))
    async with controlled(spec, directories=directories) as client:
        slow, own = client.supervisor.events(), client.supervisor["fake"].events()
        await client.supervisor["fake"].wait_ready(timeout=20)
        found = await scrape(client)
        while not found.value("events_dropped_total"):
            found = await scrape(client)
        counted = client.supervisor.dropped_events + client.supervisor["fake"].counts.dropped_events
        assert found.value("events_dropped_total") == counted
        assert counted > 9000 - 8192 + 9000 - 1024
        await client.supervisor.remove("fake")
        assert ((await scrape(client)).value("events_dropped_total") or 0) >= counted
        del slow, own


async def test_requests_are_counted_by_route_and_status_and_streams_while_they_last(
    make_spec: MakeSpec, directories: Directories
) -> None:
    spec = worker(make_spec, "sleep", "60")
    async with controlled(spec, directories=directories) as client:
        await client.get("/v1/servers/fake")
        await client.ask("GET", "/v1/servers/none")
        await client.ask("GET", "/v1/no-such-thing")
        found = await scrape(client)
        name = "control_requests_total"
        assert found.value(name, route="GET /v1/servers/{name}", status="200") == 1
        assert found.value(name, route="GET /v1/servers/{name}", status="404") == 1
        assert found.value(name, route="other", status="404") == 1
        assert found.value(name, route="GET /metrics", status="200") is None  # counted when it is answered
        assert found.value("control_streams") == 0
        reader, writer = await asyncio.open_unix_connection(client.control.socket)
        writer.write(b"GET /v1/events HTTP/1.1\r\nHost: localhost\r\nAccept: text/event-stream\r\n\r\n")
        await reader.readuntil(b"\r\n\r\n")
        found = await scrape(client)
        assert found.value("control_streams") == 1
        assert found.value(name, route="GET /v1/events", status="200") == 1
        writer.close()
        await writer.wait_closed()
        while found.value("control_streams") != 0:
            found = await scrape(client)


async def test_a_stream_that_fails_before_it_begins_is_counted_as_one_answer(
    directories: Directories, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(*_: object) -> None:  # as without a free descriptor, which would be that of the tests, too
        raise ValueError("a fault")

    monkeypatch.setattr(EventStream, "send_to", fail)
    async with controlled(directories=directories) as client:
        with pytest.raises(StreamRefused):
            await asyncio.to_thread(
                lambda: [*stream(client.control.socket, "/v1/events", "text/event-stream")]
            )
        found = await scrape(client)
    counted = {one: value for one, value in found.values.items() if "requests" in one.name}
    labels = ("route", "GET /v1/events"), ("status", "500")
    assert counted == {Series("hostler_control_requests_total", labels): 1}


# -- its form --------------------------------------------------------------------------------------


async def test_text_and_open_metrics_are_given_as_asked_and_say_the_same(
    make_spec: MakeSpec, directories: Directories
) -> None:
    async with controlled(watched(make_spec), directories=directories, spec=ON_TCP) as client:
        await client.supervisor.wait_ready(timeout=20)
        await crash(client)
        tcp = over_tcp(client)
        assert (await tcp.ask("/metrics", None)).kind == "no_token"
        plain = await tcp.ask("/metrics")
        assert plain.headers["content-type"].startswith("text/plain; version=0.0.4")
        opened = await tcp.ask("/metrics", Accept=f"{OPEN_METRICS},text/plain;q=0.5")
        assert opened.headers["content-type"].startswith("application/openmetrics-text; version=1.0.0")
        assert opened.body.endswith(b"# EOF\n")
        assert Scrape(plain).names == Scrape(opened).names
        assert promtool("check", "metrics", text=plain.body.decode()) == (0, "")


# -- without the library ---------------------------------------------------------------------------


async def test_without_the_library_it_says_what_to_install(
    directories: Directories, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(sys.modules, "hostler.control.metric_families", raising=False)
    monkeypatch.setitem(sys.modules, "prometheus_client", None)
    async with controlled(directories=directories) as client:
        status, kind, detail = await client.problem("GET", "/metrics")
        assert (status, kind) == (404, "unsupported")
        assert "pip install 'hostler[metrics]'" in detail
        assert (await client.get("/v1"))["api"] == 1
