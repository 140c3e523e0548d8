"""The listener `webhook`, against real HTTP servers: nothing is lost, and nothing goes elsewhere."""

from __future__ import annotations

import asyncio
import json
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import anyio
import pytest
from hostler import (
    Directories,
    Duration,
    Event,
    ListenerSpec,
    Notice,
    PluginError,
    Secret,
    ServerSpec,
    Supervisor,
    from_dict,
)
from hostler.plugins.options import build
from hostler.testing import FakeListenerContext
from hostler_plugins.webhook import Webhook
from http_pages import answer

QUICK: dict[str, Any] = {"initial_delay": Duration(0.01), "max_delay": Duration(0.05)}
FINE = answer("204 No Content", "", "")
BUSY = answer("500 Internal Server Error")
Answering = Callable[["Receiver", asyncio.StreamWriter], Awaitable[None]]


@dataclass(eq=False)
class Receiver:
    """A server in this process that answers its requests with these, the last again and again."""

    answers: list[bytes | Answering]
    requests: list[tuple[str, dict[str, object]]] = field(default_factory=list)
    port: int = 0
    hanging: anyio.Event = field(default_factory=anyio.Event)
    news: anyio.Event = field(default_factory=anyio.Event)
    tasks: list[asyncio.Task[None]] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/hook/T0K3N-of-a-channel"

    @property
    def numbers(self) -> list[str]:
        return [str(body["text"]) for _, body in self.requests if body["event"] == "notice"]

    async def until(self, count: int) -> None:
        """Wait for as many requests."""
        while len(self.requests) < count:
            self.news = anyio.Event()
            await self.news.wait()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.tasks.append(cast("asyncio.Task[None]", asyncio.current_task()))
        with suppress(asyncio.IncompleteReadError, OSError, asyncio.CancelledError):
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                length = int(head.lower().partition("content-length: ")[2].split("\r\n")[0])
                self.requests.append((head, json.loads(await reader.readexactly(length))))
                self.news.set()
                given = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
                if not isinstance(given, bytes):
                    await given(self, writer)
                    break
                writer.write(given)
        writer.close()


@asynccontextmanager
async def receiving(*answers: bytes | Answering, port: int = 0) -> AsyncIterator[Receiver]:
    receiver = Receiver(list(answers))
    server = await asyncio.start_server(receiver.serve, "127.0.0.1", port)
    receiver.port = server.sockets[0].getsockname()[1]
    try:
        yield receiver
    finally:
        server.close()
        for task in receiver.tasks:
            task.cancel()
        await asyncio.gather(*receiver.tasks)


async def hang(receiver: Receiver, writer: asyncio.StreamWriter) -> None:
    receiver.hanging.set()
    await asyncio.sleep(1000)


async def reset(receiver: Receiver, writer: asyncio.StreamWriter) -> None:
    one: socket.socket = writer.get_extra_info("socket")
    one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


def number(text: object, server: str = "web") -> Notice:
    return Notice(server=server, generation=1, topic="number", text=str(text))


def topics(context: FakeListenerContext) -> list[str]:
    return [one.topic for one in context.notices]


async def test_each_event_arrives_once_and_in_order() -> None:
    context = FakeListenerContext()
    async with receiving(FINE) as receiver:
        events = [number(one) for one in range(20)]
        await context.run(Webhook(receiver.url, headers={"X-Own": "a", "user-agent": "mine"}), events)
    assert [body for _, body in receiver.requests] == [event.as_dict() for event in events]
    head = receiver.requests[0][0].lower()
    assert head.startswith("post /hook/t0k3n-of-a-channel http/1.1\r\n")
    for line in ("content-type: application/json", "x-own: a", "user-agent: mine", "webhook-id: "):
        assert head.count(f"\r\n{line}") == 1
    assert context.notices == []


async def test_what_fails_for_now_is_sent_again_under_one_name() -> None:
    context = FakeListenerContext()
    failing: list[bytes | Answering] = [BUSY, reset, answer("503 Busy"), answer("429 Slow Down")]
    async with receiving(*failing, FINE) as receiver:
        await context.run(Webhook(receiver.url, **QUICK), [number(1), number(2)])
    assert receiver.numbers == ["1"] * 5 + ["2"]
    names = [head.lower().partition("webhook-id: ")[2].split("\r\n")[0] for head, _ in receiver.requests]
    assert len(set(names[:5])) == 1
    assert names[5] != names[0]
    assert topics(context) == ["webhook_failing", "webhook_recovered"]
    assert "T0K3N" not in str(context.notices)


async def test_a_receiver_that_comes_later_gets_all_of_it() -> None:
    context = FakeListenerContext()
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    failing = anyio.Event()

    async def events() -> AsyncIterator[Event]:
        for one in range(3):
            yield number(one)
        await failing.wait()
        async with receiving(FINE, port=port) as receiver:
            received.append(receiver)
            await receiver.until(3)

    received: list[Receiver] = []
    context.notice = lambda *_, **__: failing.set()  # type: ignore[method-assign]
    await context.run(Webhook(f"http://127.0.0.1:{port}/", **QUICK), events())
    assert received[0].numbers == ["0", "1", "2"]


async def test_an_answer_that_is_final_is_not_asked_for_again_and_no_redirect_is_followed() -> None:
    context = FakeListenerContext()
    async with receiving(FINE) as elsewhere:
        moved = answer("307 Moved", "", "", f"Location: {elsewhere.url}")
        async with receiving(answer("404 Not Found"), moved, FINE) as receiver:
            await context.run(Webhook(receiver.url, **QUICK), [number(one) for one in range(3)])
    assert receiver.numbers == ["0", "1", "2"]
    assert elsewhere.requests == []
    assert [(one.topic, one.text) for one in context.notices] == [
        ("webhook_failing", "events cannot be delivered: the answer is 404"),
        ("webhook_dropped", "1 event was not delivered: the answer is 404"),
        ("webhook_recovered", "events are delivered again"),
        (
            "webhook_dropped",
            "1 event was not delivered: the answer is 307, a redirect, which is not followed",
        ),
    ]


async def test_a_receiver_that_hangs_costs_its_timeout_and_then_the_next_attempt_counts() -> None:
    context = FakeListenerContext()
    async with receiving(hang, FINE) as receiver:
        await context.run(Webhook(receiver.url, timeout=Duration(0.1), **QUICK), [number(1)])
    assert receiver.numbers == ["1", "1"]


async def test_retry_after_is_waited_for() -> None:
    context = FakeListenerContext()
    async with receiving(answer("503 Busy", "", "", "Retry-After: 1"), FINE) as receiver:
        began = anyio.current_time()
        await context.run(Webhook(receiver.url, **QUICK), [number(1)])
        assert anyio.current_time() - began >= 1.0
    assert receiver.numbers == ["1", "1"]


async def test_an_event_that_is_too_old_is_dropped_and_counted() -> None:
    context = FakeListenerContext()
    async with receiving(BUSY) as receiver:
        hook = Webhook(receiver.url, retry_for=Duration(0.1), **QUICK)
        await context.run(hook, [number(1), number(2)])
    assert set(receiver.numbers) == {"1"}
    dropped = [one.details["count"] for one in context.notices if one.topic == "webhook_dropped"]
    assert dropped == [1, 1]


async def test_of_too_many_events_the_oldest_are_dropped() -> None:
    context = FakeListenerContext()

    async def events() -> AsyncIterator[Event]:
        yield number("first")
        await receiver.hanging.wait()
        for one in range(5):
            yield number(one)

    async with receiving(hang, FINE) as receiver:
        await context.run(Webhook(receiver.url, queue=2, timeout=Duration(0.3), **QUICK), events())
    assert receiver.numbers == ["first", "first", "3", "4"]
    (dropped,) = [one for one in context.notices if one.topic == "webhook_dropped"]
    assert dropped.details["count"] == 3


async def test_events_and_servers_are_filtered() -> None:
    context = FakeListenerContext()
    table: dict[str, Any] = {"events": ["!memory", "!stat*"], "servers": ["w*", "!wo*"]}
    async with receiving(FINE) as receiver:
        events = [number(name, name) for name in ("web", "worker", "db", "")]
        await context.run(Webhook(receiver.url, **table), events)
        await context.run(Webhook(receiver.url, events=["crash", "mem*"]), events)
        await context.run(Webhook(receiver.url, servers=[""]), events)
    assert receiver.numbers == ["web", ""]


async def test_secrets_are_read_anew_after_a_failure_and_masked(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("Bearer old-token")
    file.chmod(0o600)

    async def refuse(receiver: Receiver, writer: asyncio.StreamWriter) -> None:
        file.write_text("Bearer new-token")
        writer.write(answer("401 Unauthorized"))
        await writer.drain()

    context = FakeListenerContext(environ={"HOOK": "http://127.0.0.1:1/"})
    async with receiving(refuse, FINE) as receiver:
        context.environ = {"HOOK": receiver.url}
        headers: dict[str, str | Secret] = {"Authorization": Secret(f"file:{file}"), "X-Api-Key": "in-clear"}
        await context.run(Webhook(Secret("env:HOOK"), headers=headers), [number(1), number(2)])
    sent = [head.partition("Authorization: ")[2].split("\r\n")[0] for head, _ in receiver.requests]
    assert sent == ["Bearer old-token", "Bearer new-token"]
    assert {receiver.url, "old-token", "new-token", "in-clear"} <= set(context.redacted)


async def test_a_secret_that_cannot_be_read_is_told_and_tried_again() -> None:
    context = FakeListenerContext(environ={"HOOK": "no address"})
    hook = Webhook(Secret("env:HOOK"), retry_for=Duration(0.1), **QUICK)
    await context.run(hook, [number(1)])
    context.environ = {}
    await context.run(hook, [number(1)])
    assert [one.text for one in context.notices if one.topic == "webhook_failing"] == [
        "events cannot be delivered: the request failed: InvalidUrlClientError",
        "events cannot be delivered: cannot read secret env:HOOK: there is no such environment variable",
    ]


async def test_at_the_end_the_last_events_have_their_time_and_no_more(directories: Directories) -> None:
    spec = ServerSpec(name="web", command=("sleep", "1000"), port=None)
    notices: list[Event] = []
    slow: dict[str, Any] = {"events": ["state"], "initial_delay": Duration(1000), "max_delay": Duration(1000)}
    async with receiving(BUSY, BUSY, FINE) as last, receiving(hang) as never:
        listeners = {"last": Webhook(last.url, **slow), "never": Webhook(never.url, **slow)}
        supervisor = Supervisor(spec, directories=directories, listeners=listeners)
        supervisor.listen(notices.append)
        async with supervisor:
            await supervisor.wait_ready(timeout=20)
            ended = anyio.current_time()
        assert anyio.current_time() - ended < 15
    states = [body["state"] for _, body in last.requests]
    assert states[-1] == "stopped"
    (dropped,) = [one for one in notices if isinstance(one, Notice) and one.topic == "webhook_dropped"]
    assert dropped.details == {"count": 5, "listener": "never"}
    assert "T0K3N" not in str(notices)


async def test_a_secret_of_a_server_is_in_no_body(directories: Directories) -> None:
    table = {
        "servers": {
            "web": {
                "command": ["sh", "-c", "echo $PASSWORD >&2; exit 3"],
                "port": False,
                "env": {"PASSWORD": "sesame-open"},
                "restart": {"policy": "never"},
            }
        }
    }
    async with receiving(FINE) as receiver:
        table["listeners"] = {"webhook": {"url": receiver.url}}
        configuration = from_dict(table, base=Path.cwd())
        async with Supervisor(configuration, directories=directories) as supervisor:
            await supervisor.wait()
    bodies = [json.dumps(body) for _, body in receiver.requests]
    (crash,) = [one for one in bodies if '"event": "crash"' in one]
    assert "********" in crash
    assert "sesame-open" not in "".join(bodies)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"url": "example.org/T0K3N"}, r'url: expected an address such as "https://example.org/hook"$'),
        ({"url": "http://x:99999/"}, "url: expected an address"),
        ({"url": 5}, r'url: expected a string or { secret = "env:NAME" }.*, found 5'),
        ({"events": ["crashes"]}, 'events: there is no kind "crashes"; there are: crash, endpoint, exit, '),
        ({"queue": 0}, "queue: must be 1 or more"),
        ({"timeout": "0s"}, "timeout: must be longer than 0"),
        ({"headers": {"a b": "c"}}, "'a b' is no name of a header"),
        (
            {"url": "http://ada:T0K3N@x/", "headers": {"authorization": "Bearer x"}},
            "headers: Authorization is made of the user in url; leave out one of them",
        ),
    ],
)
def test_options_that_cannot_be_used_are_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises(PluginError, match=message):
        build(ListenerSpec("webhook", {"url": "http://x/", **options}))
