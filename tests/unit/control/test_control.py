"""The control API of a supervisor, asked over its real socket."""

from __future__ import annotations

import asyncio
import fcntl
import json
import os
import re
import shutil
import signal
import socket
import stat
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack, nullcontext
from datetime import UTC, datetime
from functools import partialmethod
from pathlib import Path

import anyio
import pytest
import uvloop
from controlled import controlled, short_folder
from hostler import (
    Change,
    Changes,
    ControlSpec,
    Directories,
    EnvironmentSetupFailed,
    InvalidConfiguration,
    Problem,
    ProcessAlreadyRunning,
    State,
    Supervisor,
)
from hostler.cli.client.transport import Closed, Unreachable, stream
from hostler.control import control as control_module
from hostler.control.control import Control
from hostler.control.http_server import HttpServer
from hostler.control.location import locate
from hostler.control.problems import Refused
from hostler.control.server_commands import ServerCommands
from hostler.control.shapes import Command
from specs import MakeSpec, worker

FIELDS = (
    "name kind template autostart wanted state since reason generation pid url uptime ready_seconds health"
    " health_words restarts memory cpu_seconds crashes last_crash events last_event completed stuck"
    " hooks_out needs log lease_count stop_asked"
)


ON_TCP = ControlSpec(tcp="127.0.0.1:0")


class Host:
    """Reloads and ends nothing, and notes what it was asked."""

    def __init__(self) -> None:
        self.asked: list[object] = []

    async def variables(self) -> tuple[set[str], set[str]]:
        return {"TOKEN", "GREETING"}, {"MY_*"}

    async def reload(self, *, dry_run: bool, environ: Mapping[str, str | None] | None) -> Changes:
        self.asked.append(dry_run if environ is None else environ)
        if not dry_run:
            raise InvalidConfiguration([Problem("servers.web.port", "expected a number")])
        return Changes(restarted=("web",), changed={"web": (Change("port", "1", "2"),)})

    def start_rest(self) -> None:
        self.asked.append("start the rest")

    def shutdown(self, *, force: bool) -> None:
        self.asked.append(f"end, force {force}")


# -- the socket ------------------------------------------------------------------------------------


async def test_the_socket_is_ours_alone_and_goes_with_lock_and_description(directories: Directories) -> None:
    async with controlled(directories=directories) as client:
        path = Path(client.control.socket)
        assert stat.S_IMODE(path.stat().st_mode) == 0o600  # noqa: ASYNC240
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
        folder = path.parent
        assert sorted(name[16:] for name in os.listdir(folder)) == [".json", ".lock", ".sock"]  # noqa: PTH208
        await client.get("/v1")
        async with Supervisor([], directories=directories) as other:
            with pytest.raises(ProcessAlreadyRunning, match=f"pid {os.getpid()}"):
                async with Control(
                    other,
                    configuration=folder.parents[1] / "hostler.toml",
                    environ={"XDG_STATE_HOME": str(folder.parents[1])},
                ):
                    pass
        assert await client.get("/v1")
        await client.control.__aexit__(None, None, None)
        assert os.listdir(folder) == []  # noqa: PTH208


async def test_it_says_since_when_it_is_there_and_not_since_when_somebody_asks(
    directories: Directories,
) -> None:
    async with controlled(directories=directories) as client:
        before = datetime.now(UTC)
        await asyncio.sleep(0.01)  # times are told in milliseconds
        assert datetime.fromisoformat((await client.get("/v1"))["since"]) <= before


@pytest.mark.parametrize("tcp", [None, "127.0.0.1:0"])
def test_nothing_is_imported_before_the_first_client(tmp_path: Path, tcp: str | None) -> None:
    program = """
import asyncio, sys
from hostler import ControlSpec, Supervisor
from hostler.control import control as control_module
from hostler.control.control import Control
spec = ControlSpec(tcp=sys.argv[1] or None)
async def main():
    async with Supervisor([]) as supervisor, Control(supervisor, configuration="x.toml", spec=spec):
        await asyncio.sleep(0)
        print(sorted({"aiohttp", "hostler.control.access", "hostler.control.api"} & sys.modules.keys()))
asyncio.run(main())
"""
    with short_folder() as folder:
        environ = os.environ | {f"XDG_{kind}_HOME": str(folder) for kind in ("STATE", "DATA")}
        argv = [sys.executable, "-c", program, tcp or ""]
        done = subprocess.run(argv, capture_output=True, text=True, env=environ, cwd=tmp_path, check=False)
    assert (done.stdout, done.stderr) == ("[]\n", "")


@pytest.mark.parametrize("mode", [0o755, 0o777])
async def test_a_folder_that_others_can_use_is_refused(directories: Directories, mode: int) -> None:
    with short_folder() as folder:
        (folder / "hostler" / "control").mkdir(parents=True, mode=0o700)
        (folder / "hostler" / "control").chmod(mode)
        async with Supervisor([], directories=directories) as supervisor:
            with pytest.raises(EnvironmentSetupFailed, match="others may use it|everybody can write to it"):
                async with Control(
                    supervisor, configuration="x.toml", environ={"XDG_STATE_HOME": str(folder)}
                ):
                    pass


@pytest.mark.parametrize("suffix", ["lock", "sock", "json", "read.token"])
async def test_a_link_in_the_place_of_a_file_leads_nobody_astray(
    directories: Directories, suffix: str
) -> None:
    with short_folder() as folder:
        environ = {"XDG_STATE_HOME": str(folder)}
        async with Supervisor([], directories=directories) as supervisor:
            control = Control(supervisor, configuration="x.toml", environ=environ, spec=ON_TCP)
            async with control:
                path = Path(control.socket).with_suffix(f".{suffix}")
            (folder / "target").write_text("mine")
            path.symlink_to(folder / "target")
            refused = pytest.raises(EnvironmentSetupFailed, match=re.escape(str(path)))
            async with AsyncExitStack() as opened:
                # The lock is opened and so refused, the others are replaced by names of our own.
                with refused if suffix == "lock" else nullcontext():
                    await opened.enter_async_context(control)
        assert (folder / "target").read_text() == "mine"


async def test_a_chosen_path_that_is_another_program_s_or_file_is_left_alone(
    directories: Directories,
) -> None:
    async with controlled(directories=directories) as client:
        taken = Path(client.control.socket)
        file = taken.with_name("notes.txt")
        file.write_text("mine")
        environ = {"XDG_STATE_HOME": str(taken.parents[2])}
        async with Supervisor([], directories=directories) as other:
            for path, reason in ((taken, "another program listens there"), (file, "is no socket")):
                control = Control(other, configuration="other.toml", socket=path, environ=environ)
                with pytest.raises(EnvironmentSetupFailed, match=f"{path}: .*{reason}"):
                    await control.__aenter__()
        assert file.read_text() == "mine"
        assert await client.get("/v1")


@pytest.mark.parametrize(("suffix", "make"), [("json", os.mkdir), ("lock", os.mkfifo)])
async def test_what_cannot_be_written_is_told_and_leaves_no_lock(
    directories: Directories, suffix: str, make: Callable[[Path], None]
) -> None:
    with short_folder() as folder:
        environ = {"XDG_STATE_HOME": str(folder)}
        async with Supervisor([], directories=directories) as supervisor:
            async with Control(supervisor, configuration="x.toml", environ=environ) as control:
                path = Path(control.socket).with_suffix(f".{suffix}")
            make(path)
            with pytest.raises(EnvironmentSetupFailed, match="the control socket cannot be made"):
                await control.__aenter__()
            assert os.listdir(path.parent) == [path.name]  # noqa: PTH208
            assert not locate("x.toml", environ).is_held()


async def test_a_path_that_is_too_long_is_refused_with_what_to_do(directories: Directories) -> None:
    async with Supervisor([], directories=directories) as supervisor:
        with pytest.raises(EnvironmentSetupFailed, match="bytes, and 100 is the most") as caught:
            async with Control(supervisor, configuration="x.toml", socket=f"/tmp/{'x' * 100}"):
                pass
        assert "--socket" in caught.value.context.hint


async def test_a_port_that_is_taken_is_told_and_leaves_no_lock(directories: Directories) -> None:
    with socket.socket() as taken, short_folder() as folder:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        spec = ControlSpec(tcp=f"127.0.0.1:{taken.getsockname()[1]}")
        async with Supervisor([], directories=directories) as supervisor:
            environ = {"XDG_STATE_HOME": str(folder)}
            control = Control(supervisor, configuration="x.toml", spec=spec, environ=environ)
            with pytest.raises(EnvironmentSetupFailed, match="Address already in use"):
                await control.__aenter__()
        assert list((folder / "hostler" / "control").iterdir()) == []


async def test_who_only_looks_at_the_lock_is_waited_for_off_the_loop(
    directories: Directories,
) -> None:
    with short_folder() as folder:
        environ = {"XDG_STATE_HOME": str(folder)}
        location = locate(str(folder / "x.toml"), environ)
        Path(location.folder).mkdir(parents=True, mode=0o700)  # noqa: ASYNC240
        turns = 0
        async with Supervisor([], directories=directories) as supervisor:
            control = Control(supervisor, configuration=folder / "x.toml", environ=environ)
            with Path(location.lock).open("w") as probe:  # noqa: ASYNC230
                fcntl.flock(probe, fcntl.LOCK_SH)
                entering = asyncio.create_task(control.__aenter__())
                while turns < 5:  # with all the time that it waits on the loop there would be one
                    turns += 1
                    await asyncio.sleep(0.001)
                assert not entering.done()
            await entering
            await control.__aexit__(None, None, None)


async def test_a_client_whose_answer_cannot_be_loaded_is_told_and_the_next_is_answered(
    directories: Directories, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail() -> None:
        raise ImportError("no such module")

    async with controlled(directories=directories) as client:
        with monkeypatch.context() as patch:
            patch.setattr("hostler.control.control._import", fail)
            for _ in range(2):
                status, kind, detail = await client.problem("GET", "/v1")
                assert (status, kind) == (500, "internal")
                assert "module" not in detail
        assert "no such module" in caplog.text
        assert await client.get("/v1")


async def test_a_socket_that_is_removed_while_the_first_client_waits_is_made_again(
    directories: Directories, monkeypatch: pytest.MonkeyPatch
) -> None:
    go_on = threading.Event()
    load = control_module._import

    def load_later() -> object:
        assert go_on.wait(20)
        return load()

    monkeypatch.setattr(control_module, "_import", load_later)
    async with controlled(directories=directories) as client:
        waiting = [asyncio.create_task(client.ask("GET", "/v1"))]
        while client.control.idle_for:  # noqa: ASYNC110 - nothing tells that its connection is seen
            await asyncio.sleep(0.001)
        Path(client.control.socket).unlink()  # noqa: ASYNC240
        client.control.listen_again()
        waiting.append(asyncio.create_task(client.ask("GET", "/v1")))
        go_on.set()
        with pytest.raises((Closed, Unreachable)):  # the old socket is gone
            await waiting[0]
        assert (await waiting[1]).status == 200
        assert await client.get("/v1")


async def test_a_socket_that_was_removed_is_made_again(directories: Directories) -> None:
    async with controlled(directories=directories) as client:
        for _ in range(2):
            Path(client.control.socket).unlink()  # noqa: ASYNC240
            client.control.listen_again()
            told = await client.get("/v1")
            assert (told["pid"], told["namespace"]) == (os.getpid(), told["configuration"])
        client.control.listen_again()  # it is there, and stays
        assert await client.get("/v1")


# -- what is read ----------------------------------------------------------------------------------


async def test_a_server_is_shown_with_all_that_is_known_of_it(
    make_spec: MakeSpec, directories: Directories
) -> None:
    async with controlled(make_spec(), directories=directories) as client:
        await client.supervisor.wait_ready(timeout=20)
        server = client.supervisor["fake"]
        row = await client.get("/v1/servers/fake")

        assert " ".join(row) == FIELDS
        assert row["state"] == "running"
        assert (row["wanted"], row["url"], row["pid"]) == ("up", server.url, server.pid)
        assert (row["kind"], row["needs"], row["completed"], row["generation"]) == ("server", [], False, 1)
        assert row["ready_seconds"] > 0
        assert row["restarts"] == {"used": 0, "allowed": 5, "next_try": None, "total": 0}

        answer = await client.get("/v1/servers")
        assert [one["name"] for one in answer["servers"]] == ["fake"]
        for query, expected in (("state=running", 1), ("state=failed", 0), ("name=fake", 1), ("name=x", 0)):
            assert len((await client.get(f"/v1/servers?{query}"))["servers"]) == expected


async def test_a_crash_is_shown_with_its_record_and_the_restarts(
    make_spec: MakeSpec, directories: Directories
) -> None:
    async with controlled(make_spec(), directories=directories) as client:
        server = client.supervisor["fake"]
        await client.supervisor.wait_ready(timeout=20)
        assert server.pid is not None
        os.kill(server.pid, signal.SIGKILL)
        await server.wait_for(State.CRASHED, timeout=20)
        await server.wait_ready(timeout=20)

        row = await client.get("/v1/servers/fake")
        assert (row["crashes"], row["restarts"]["used"], row["restarts"]["total"]) == (1, 1, 1)
        assert row["last_crash"]["how"] == "killed by SIGKILL"
        (record,) = (await client.get("/v1/servers/fake/crashes"))["crashes"]
        assert record["signal"] == signal.SIGKILL


async def test_probes_have_no_body(make_spec: MakeSpec, directories: Directories) -> None:
    async with controlled(worker(make_spec, "sleep", "60"), directories=directories) as client:
        await client.supervisor.wait_ready(timeout=20)
        assert [(await client.ask("GET", path)).status for path in ("/livez", "/readyz")] == [200, 200]
        os.kill(client.supervisor["fake"].pid or 0, signal.SIGSTOP)
        answer = await client.ask("GET", "/livez")
        assert (answer.status, answer.body, answer.headers["hostler-api"]) == (200, b"", "1")
        os.kill(client.supervisor["fake"].pid or 0, signal.SIGCONT)


async def test_it_is_not_ready_while_a_server_that_is_wanted_is_not(
    make_spec: MakeSpec, directories: Directories
) -> None:
    async with controlled(make_spec("--no-listen"), directories=directories) as client:
        assert (await client.ask("GET", "/readyz")).status == 503


# -- commands --------------------------------------------------------------------------------------


async def test_commands_say_what_they_changed(make_spec: MakeSpec, directories: Directories) -> None:
    async with controlled(make_spec(), directories=directories) as client:
        started = await client.post("/v1/servers/fake/start", timeout=20)
        assert (started["server"]["state"], started["changed"]) == ("running", False)

        restarted = await client.post("/v1/servers/restart", names=["fake"], generation=1)
        assert restarted["servers"][0]["server"]["generation"] == 2

        stopped = await client.post("/v1/servers/fake/stop", force=True)
        assert (stopped["server"]["state"], stopped["changed"]) == ("stopped", True)
        again = await client.post("/v1/servers/stop")
        assert again["servers"][0]["changed"] is False

        started = await client.post("/v1/servers/start")
        assert started["servers"][0]["changed"] is True


async def test_what_is_not_waited_for_goes_on(make_spec: MakeSpec, directories: Directories) -> None:
    async with controlled(make_spec(autostart=False), directories=directories) as client:
        answer = await client.ask("POST", "/v1/servers/fake/start", {"wait": False})
        assert answer.status == 202
        await client.supervisor["fake"].wait_for(State.RUNNING, timeout=20)


async def test_a_timeout_ends_the_waiting_and_nothing_else(
    make_spec: MakeSpec, directories: Directories
) -> None:
    async with controlled(make_spec("--no-listen", autostart=False), directories=directories) as client:
        problem = await client.problem("POST", "/v1/servers/fake/start", {"timeout": 0.05})
        assert problem[:2] == (504, "timed_out")
        assert client.supervisor["fake"].wanted


async def test_a_command_to_another_run_is_refused(make_spec: MakeSpec, directories: Directories) -> None:
    async with controlled(worker(make_spec, "sleep", "60"), directories=directories) as client:
        await client.supervisor.wait_ready(timeout=20)
        problem = await client.problem("POST", "/v1/servers/fake/restart", {"generation": 7})
        assert problem == (409, "stale_generation", "run 1 is there by now, not run 7")


async def test_a_server_that_fails_is_told_with_its_error(
    make_spec: MakeSpec, directories: Directories
) -> None:
    spec = worker(make_spec, "/nowhere/program", autostart=False)
    async with controlled(spec, directories=directories) as client:
        answer = await client.ask("POST", "/v1/servers/fake/start", {})
        found = answer.json()
        assert (answer.status, found["error"], found["server"]) == (409, "ProcessSpawnFailed", "fake")


async def test_the_program_is_told_to_reload_and_to_end(directories: Directories) -> None:
    host = Host()
    async with controlled(directories=directories, host=host) as client:
        changes = await client.post("/v1/reload", dry_run=True)
        assert changes["changed"] == {"web": [{"key": "port", "before": "1", "after": "2"}]}
        answer = await client.ask("POST", "/v1/reload", {})
        assert answer.status == 422
        assert answer.json()["mistakes"] == ["servers.web.port: expected a number"]
        assert (await client.ask("POST", "/v1/shutdown", {"force": True})).status == 202
        assert host.asked == [True, False, "end, force True"]
        assert "reload" in (await client.get("/v1"))["capabilities"]


async def test_a_program_tells_which_variables_it_needs_and_is_given_them(directories: Directories) -> None:
    host = Host()
    async with controlled(directories=directories, host=host) as client:
        asked = await client.get("/v1/environment")
        assert asked == {"names": ["GREETING", "TOKEN"], "patterns": ["MY_*"]}
        given = {"TOKEN": "mallow-morning", "GREETING": None}
        await client.post("/v1/reload", dry_run=True, environment=given)
        assert host.asked == [given]
        for name, value in (("", "x"), ("A=B", "mallow"), ("A", "mallow\0")):
            body = {"environment": {name: value}}
            status, kind, detail = await client.problem("POST", "/v1/reload", body)
            assert (status, kind) == (422, "invalid_request")
            assert "mallow" not in detail


async def test_a_whole_number_may_be_written_with_a_point(directories: Directories) -> None:
    async with controlled(directories=directories) as client:
        answer = await client.post("/v1/servers/restart", generation=1.0, timeout=1e300)
        assert answer == {"servers": []}


async def test_a_wrong_method_is_told_which_are_right(directories: Directories) -> None:
    async with controlled(directories=directories) as client:
        assert (await client.ask("POST", "/v1/servers/web", {})).headers["allow"] == "DELETE, GET, PUT"


async def test_a_program_that_cannot_be_told_says_so(directories: Directories) -> None:
    async with controlled(directories=directories) as client:
        assert (await client.problem("POST", "/v1/shutdown", {}))[:2] == (404, "unsupported")


async def test_a_page_of_events_says_whether_any_may_be_missing(directories: Directories) -> None:
    async with controlled(directories=directories) as client:
        cursor = (await client.get("/v1"))["cursor"]
        gaps = {
            after: (await client.get(f"/v1/events?after={after}"))["gap"]
            for after in ("", cursor, "00000000-3", "nonsense")
        }
        assert gaps == {"": False, cursor: False, "00000000-3": True, "nonsense": True}


# -- wrong requests --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "target", "body", "kind"),
    [
        ("GET", "/nowhere", None, "unsupported"),
        ("GET", "/v1/servers/none", None, "not_found"),
        ("DELETE", "/v1/servers", None, "method"),
        ("GET", "/v1/servers?nme=x", None, "invalid_request"),
        ("GET", "/v1?x=1", None, "invalid_request"),
        ("GET", "/v1/servers?name=a&name=b", None, "invalid_request"),
        ("GET", "/v1/events?limit=0", None, "invalid_request"),
        ("GET", "/v1/events?limit=many", None, "invalid_request"),
        ("GET", "/livez", {}, "invalid_request"),
        ("POST", "/v1/servers/start", {"nmes": []}, "invalid_request"),
        ("POST", "/v1/servers/start", {"names": "fake"}, "invalid_request"),
        ("POST", "/v1/servers/start", [], "invalid_request"),
        ("POST", "/v1/servers/start", {"timeout": -1}, "invalid_request"),
        ("POST", "/v1/servers/restart", {"generation": 1.5}, "invalid_request"),
        ("POST", "/v1/servers/start", {"names": ["x" * 70_000]}, "too_large"),
        ("GET", "/v1/servers/" + "x" * 5000, None, "not_found"),
        ("GET", "/v1/servers/%FF", None, "not_found"),
        ("GET", "/v1/servers/..%2f..", None, "not_found"),
    ],
)
async def test_a_wrong_request_is_refused(
    directories: Directories, method: str, target: str, body: object, kind: str
) -> None:
    async with controlled(directories=directories) as client:
        assert (await client.problem(method, target, body))[1] == kind
        assert (await client.ask("GET", "/livez")).status == 200


@pytest.mark.parametrize(
    ("head", "kind"),
    [
        (b"Content-Type: text/plain\r\nContent-Length: 2\r\n\r\n{}", b"media_type"),
        (b"Content-Type: application/json\r\nContent-Length: 1\r\n\r\n{", b"invalid_request"),
        (b"Content-Type: application/json\r\nContent-Length: 2\r\n\r\n\xff\xff", b"invalid_request"),
    ],
)
async def test_a_body_that_is_no_json_is_refused(directories: Directories, head: bytes, kind: bytes) -> None:
    async with controlled(directories=directories) as client:
        reader, writer = await asyncio.open_unix_connection(client.control.socket)
        writer.write(b"POST /v1/servers/start HTTP/1.0\r\n" + head)
        assert kind in await reader.read()
        writer.close()


async def test_what_is_no_http_ends_its_own_connection_only(directories: Directories) -> None:
    async with controlled(directories=directories) as client:
        reader, writer = await asyncio.open_unix_connection(client.control.socket)
        writer.write(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\r\n\r\n")
        await reader.read()
        writer.close()
        assert await client.get("/v1")


async def test_a_body_that_does_not_come_is_not_waited_for(
    directories: Directories, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hostler.control.http_server._BODY_SECONDS", 0.05)
    async with controlled(directories=directories) as client:
        reader, writer = await asyncio.open_unix_connection(client.control.socket)
        head = b"Content-Type: application/json\r\nContent-Length: 9\r\n\r\n{"
        writer.write(b"POST /v1/servers/start HTTP/1.0\r\n" + head)
        assert b"timed_out" in await reader.read()
        writer.close()


async def test_streams_have_a_limit_of_their_own(directories: Directories) -> None:
    async with controlled(directories=directories) as client:
        streams = [stream(client.control.socket, "/v1/events") for _ in range(128)]
        for one in streams:
            await asyncio.to_thread(next, one)
        assert (await client.ask("GET", "/v1")).status == 200
        for call in (("/v1/events",), ("/v1/log", "application/jsonl")):
            with pytest.raises(Unreachable, match="503"):
                await asyncio.to_thread(next, stream(client.control.socket, *call))
        streams.pop(0)  # which closes it
        with anyio.fail_after(10):
            while not await asyncio.to_thread(_is_served, client.control.socket):
                pass  # it takes a moment until hostler sees that one is gone


def _is_served(path: str) -> bool:
    try:
        next(stream(path, "/v1/events"))
    except Unreachable:
        return False
    return True


def test_it_is_reached_under_uvloop(directories: Directories) -> None:
    async def ask() -> int:
        async with controlled(directories=directories) as client:
            client.control.listen_again()
            return (await client.ask("GET", "/livez")).status

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        assert runner.run(ask()) == 200


async def test_a_folder_that_was_removed_is_made_again(directories: Directories) -> None:
    async with controlled(directories=directories) as client:
        folder = Path(client.control.socket).parent
        state = folder.parents[1]
        configuration, environ = state / "hostler.toml", {"XDG_STATE_HOME": str(state)}
        shutil.rmtree(folder)
        client.control.listen_again()
        assert locate(str(configuration), environ).is_held()
        assert (await client.get("/v1"))["pid"] == os.getpid()

        shutil.rmtree(folder)
        async with (
            Supervisor([], directories=directories) as other,
            Control(other, configuration=configuration, environ=environ),
        ):
            with pytest.raises(ProcessAlreadyRunning):
                client.control.listen_again()
            files = set(folder.iterdir())
            await client.control.__aexit__(None, None, None)
            assert set(folder.iterdir()) == files


async def test_a_signal_is_asked_for_only_where_it_would_not_kill(directories: Directories) -> None:
    for relistens in (False, True):
        async with controlled(directories=directories, relistens=relistens) as client:
            lock = Path(client.control.socket).with_suffix(".lock")
            assert json.loads(lock.read_text())["relistens"] is relistens


async def test_a_command_that_comes_at_the_end_is_refused(
    make_spec: MakeSpec, directories: Directories
) -> None:
    async with controlled(make_spec("--no-listen"), directories=directories) as client:
        commands = ServerCommands(client.supervisor)
        await commands.close()
        servers = commands.find(["fake"])
        for ask in (commands.start, commands.stop, commands.restart):
            with pytest.raises(Refused) as refused:
                await ask(servers, Command())
            assert refused.value.problem.type == "/problems/shutting_down"


async def test_the_end_waits_for_no_client(
    make_spec: MakeSpec, directories: Directories, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(HttpServer, "close", partialmethod(HttpServer.close, seconds=3600.0))
    async with controlled(make_spec("--no-listen", autostart=False), directories=directories) as client:
        path = client.control.socket
        waiting = asyncio.create_task(client.ask("POST", "/v1/servers/fake/start", {}))
        events = stream(path, "/v1/events")
        await asyncio.to_thread(next, events)
        following = asyncio.create_task(asyncio.to_thread(list, events))
        server = client.supervisor["fake"]
        with anyio.fail_after(20):
            await server.until(lambda: server.state is State.WAITING_READY)  # the command is under way
            await client.control.__aexit__(None, None, None)
    with pytest.raises(Closed):
        await following
    with pytest.raises(Exception, match="closed"):
        await waiting
