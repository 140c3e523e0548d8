"""Servers that come, go and change while their supervisor runs."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from textwrap import dedent

import anyio
import psutil
import pytest
from hostler import (
    Change,
    Changes,
    Configuration,
    CrashRecord,
    Directories,
    Event,
    ForceKillTimeout,
    InvalidConfiguration,
    Kind,
    MemorySampled,
    Need,
    Notice,
    OnRestart,
    PluginSpec,
    Secret,
    Server,
    ServerError,
    ServerSpec,
    ServerView,
    State,
    StateChanged,
    Supervisor,
    hookimpl,
    load,
    serve,
)
from hostler.model.diff import differences
from hostler.records.status_store import StatusStore
from servers import fake_server
from specs import QUICK, MakeSpec, announced

NO_RETRY = replace(QUICK, start_retries=0)


def story(events: list[Event]) -> list[str]:
    return [f"{event.server} {event.state.value}" for event in events if isinstance(event, StateChanged)]


def notices(events: list[Event]) -> list[str]:
    return [f"{event.server} {event.topic}" for event in events if isinstance(event, Notice)]


async def ready(supervisor: Supervisor, *names: str) -> None:
    with anyio.fail_after(20):
        await supervisor.wait_ready(*names)


def pids(supervisor: Supervisor) -> dict[str, int | None]:
    return {name: server.pid for name, server in supervisor.servers.items()}


@pytest.fixture
def configuration(tmp_path: Path) -> Configuration:
    """One server, and a template of others."""
    command = fake_server("--port", "${server.port}", "--print", "${parameter.word}")
    text = f"""
    [templates.fake]
    parameters = {{ word = {{ required = true }} }}
    command = {command}
    plugins = {{ regex-port = true }}
    [servers.first]
    template = {{ use = "fake", word = "one" }}
    """
    file = tmp_path / "hostler.toml"
    file.write_text(dedent(text))
    return load(file)


# -- add -----------------------------------------------------------------------------------------


async def test_a_server_is_added_from_a_template_and_started(
    configuration: Configuration, directories: Directories
) -> None:
    events: list[Event] = []

    async with Supervisor(configuration, directories=directories) as supervisor:
        supervisor.listen(events.append)
        server = await supervisor.add("fake", "second", word="two")
        lines = server.lines()
        await ready(supervisor)
        assert supervisor["second"] is server
        assert (await anext(lines)).text == "two"
        assert list(supervisor) == ["first", "second"]
        assert server.spec.name == "second"

    assert notices(events)[0] == "second server_added"
    assert story(events)[-1].endswith("stopped")
    assert "second stopped" in story(events)
    assert list(directories.state.rglob("*.json")) == []


async def test_a_spec_is_added_and_without_autostart_not_started(
    make_spec: MakeSpec, directories: Directories
) -> None:
    async with Supervisor([], directories=directories) as supervisor:
        server = await supervisor.add(make_spec(name="late", autostart=False))
        assert server.state is State.STOPPED
        await server.start()
        await ready(supervisor, "late")


async def test_an_added_server_needs_others_and_stops_before_them(
    make_spec: MakeSpec, directories: Directories
) -> None:
    events: list[Event] = []

    async with Supervisor(make_spec(name="db", autostart=False), directories=directories) as supervisor:
        supervisor.listen(events.append)
        await supervisor.add(make_spec("--term-delay", "0.2", name="web", needs=("db",)))
        await ready(supervisor, "web")

    told = story(events)
    assert told.index("db running") < told.index("web waiting_ready")
    assert told.index("web stopped") < told.index("db stopping")


async def test_a_name_that_is_in_use_is_refused(
    configuration: Configuration, make_spec: MakeSpec, directories: Directories
) -> None:
    async with Supervisor(configuration, directories=directories) as supervisor:
        with pytest.raises(ServerError, match="^first: there is a server of this name") as caught:
            await supervisor.add("fake", "first", word="x")

        assert "remove it first" in caught.value.context.hint


async def test_of_two_adds_of_one_name_at_once_one_wins(
    make_spec: MakeSpec, directories: Directories
) -> None:
    async with Supervisor([], directories=directories) as supervisor:
        results = await asyncio.gather(
            *(supervisor.add(make_spec(name="same")) for _ in range(5)), return_exceptions=True
        )
        assert len([result for result in results if isinstance(result, Server)]) == 1
        assert len([result for result in results if isinstance(result, ServerError)]) == 4
        await ready(supervisor)
        assert supervisor["same"].generation == 1


async def test_what_cannot_be_added_is_told_and_nothing_changes(
    configuration: Configuration, make_spec: MakeSpec, directories: Directories
) -> None:
    async with Supervisor(configuration, directories=directories) as supervisor:
        with pytest.raises(
            InvalidConfiguration, match="there is no template 'fak'; there are: fake"
        ) as caught:
            await supervisor.add("fak", "new", word="x")

        assert caught.value.context.hint == 'did you mean "fake"?'

        with pytest.raises(InvalidConfiguration, match="needs the parameter word"):
            await supervisor.add("fake", "new")

        with pytest.raises(InvalidConfiguration, match='no parameter of this name; did you mean "word"'):
            await supervisor.add("fake", "new", word="x", wrd="y")

        with pytest.raises(InvalidConfiguration, match="1 to 64 letters"):
            await supervisor.add("fake", "a b", word="x")

        with pytest.raises(InvalidConfiguration, match="made of the template 'fake' needs a name"):
            await supervisor.add("fake", word="x")

        with pytest.raises(InvalidConfiguration, match=r'servers\.new\.needs\[0\]: there is no server "db"'):
            await supervisor.add(make_spec(name="new", needs=("db",)))

        with pytest.raises(TypeError, match="has its name already"):
            await supervisor.add(make_spec(name="new"), "other")

        assert list(supervisor) == ["first"]

    async with Supervisor(make_spec(), directories=directories) as supervisor:
        with pytest.raises(InvalidConfiguration, match="there is no template 'x'; there are none"):
            await supervisor.add("x", "new")


async def test_parameters_may_be_called_as_the_arguments_are(
    tmp_path: Path, directories: Directories
) -> None:
    file = tmp_path / "a.toml"
    file.write_text(
        "[templates.t]\nparameters = { name = '', what = '', self = '' }\nport = false\n"
        "command = ['sleep', '60', '${parameter.name}', '${parameter.what}', '${parameter.self}']\n"
    )

    async with Supervisor(load(file), directories=directories) as supervisor:
        server = await supervisor.add("t", "new", name="a", what="b", self="c")
        assert server.spec.command[2:] == ("a", "b", "c")


async def test_nothing_is_changed_before_the_block_and_after_it(
    make_spec: MakeSpec, directories: Directories
) -> None:
    supervisor = Supervisor(make_spec(), directories=directories)

    for _ in range(2):
        with pytest.raises(ServerError, match="does not run, or is about to end"):
            await supervisor.add(make_spec(name="other"))

        with pytest.raises(ServerError, match="does not run, or is about to end"):
            await supervisor.remove("fake")

        with pytest.raises(ServerError, match="does not run, or is about to end"):
            await supervisor.reload([])

        if supervisor["fake"].generation == 0:
            async with supervisor:
                await ready(supervisor)


async def test_an_add_while_all_are_being_stopped_is_refused(
    make_spec: MakeSpec, directories: Directories
) -> None:
    supervisor = Supervisor(make_spec("--term-delay", "0.5"), directories=directories)

    async with supervisor:
        await ready(supervisor)
        closing = asyncio.create_task(supervisor.close())
        await supervisor["fake"].until(lambda: supervisor["fake"].state is State.STOPPING)

        with pytest.raises(ServerError, match="about to end"):
            await supervisor.add(make_spec(name="late"))

        await closing

    assert list(supervisor) == ["fake"]


async def test_an_added_server_is_kept_as_all_others_are(
    make_spec: MakeSpec, directories: Directories
) -> None:
    """It crashes and comes back, its memory is told, its crash and its state are written down."""
    crashes: list[CrashRecord] = []

    async with Supervisor([], directories=directories, namespace="test") as supervisor:
        server = await supervisor.add(make_spec(name="late", memory_interval=0.1))
        own = server.events()
        await ready(supervisor, "late")
        os.kill(server.pid or 0, 9)
        await server.until(lambda: server.generation == 2)
        await ready(supervisor, "late")

        with anyio.fail_after(10):
            async for event in own:
                if isinstance(event, MemorySampled):
                    break

        data_dir = server.data_dir
        crashes.extend(server.crashes)

    assert len(crashes) == 1
    status = StatusStore(data_dir).read("late")
    assert status is not None
    assert status.state is State.STOPPED
    assert len(list((data_dir / "crashes").rglob("*.json"))) == 1


def test_an_added_server_dies_with_a_program_that_ends_without_clean_up(
    tmp_path: Path, marked: Callable[[str], list[int]]
) -> None:
    mark = str(tmp_path / "mark")
    command = fake_server("--port", "${server.port}", "--spawn-session-child", "--first", mark)
    program = f"""
    import asyncio, sys
    from hostler import Directories, ServerSpec, Supervisor
    from pathlib import Path

    async def live():
        supervisor = Supervisor([], directories=Directories(*(Path({str(tmp_path)!r}) / n for n in "abc")))
        await supervisor.__aenter__()
        spec = ServerSpec(name="late", command=tuple({command!r}))
        server = await supervisor.add(spec)
        await server.wait_ready(20)
        print("ready", flush=True)
        sys.exit(3)

    asyncio.run(live())
    """
    done = subprocess.run(
        [sys.executable, "-c", dedent(program)], capture_output=True, text=True, check=False, timeout=60
    )
    assert (done.stdout, done.returncode) == ("ready\n", 3), done.stderr
    assert marked(mark) == []


# -- remove --------------------------------------------------------------------------------------


async def test_a_removed_server_is_stopped_to_its_last_process_and_forgotten(
    make_spec: MakeSpec, directories: Directories, marked: Callable[[str], list[int]], tmp_path: Path
) -> None:
    events: list[Event] = []
    mark = str(tmp_path / "mark")
    specs = [make_spec(name="a"), make_spec("--double-fork-child", "--first", mark, name="b")]

    async with Supervisor(specs, directories=directories) as supervisor:
        supervisor.listen(events.append)
        await ready(supervisor)
        server, own = supervisor["b"], supervisor["b"].events()
        before = pids(supervisor)["a"]
        await supervisor.remove("b")
        assert marked(mark) == []
        assert list(supervisor) == ["a"]
        assert pids(supervisor) == {"a": before}
        assert story(events)[-1] == "b stopped"
        assert notices(events) == ["b server_removed"]

        with anyio.fail_after(5):
            assert [event async for event in own]  # it ends

        with pytest.raises(KeyError, match="no server 'b'; there are: a"):
            await supervisor.remove("b")

        with pytest.raises(ServerError, match="its supervisor does not run, or has removed it"):
            await server.start()

        await supervisor.add(make_spec(name="b"))  # its name is free again
        await ready(supervisor)


async def test_what_others_need_is_not_removed(make_spec: MakeSpec, directories: Directories) -> None:
    specs = [make_spec(name="db"), make_spec(name="web", needs=("db",)), make_spec(name="app", needs=("db",))]

    async with Supervisor(specs, directories=directories) as supervisor:
        await ready(supervisor)

        with pytest.raises(ServerError, match="^db: it cannot be removed: web, app need it") as caught:
            await supervisor.remove("db")

        assert caught.value.context.hint == "remove web, app first"
        assert supervisor["db"].state is State.RUNNING
        await supervisor.remove("web")
        await supervisor.remove("app")
        await supervisor.remove("db")
        assert len(supervisor) == 0


async def test_a_server_that_starts_or_waits_for_its_restart_is_removed_at_once(
    make_spec: MakeSpec, directories: Directories
) -> None:
    slow = replace(QUICK, initial_delay=60.0, max_delay=60.0)
    specs = [
        make_spec("--announce-delay", "60", name="a"),
        make_spec("--exit-after", "0", name="b", restart=slow),
    ]

    async with Supervisor(specs, directories=directories) as supervisor:
        await supervisor["a"].until(lambda: supervisor["a"].state is State.WAITING_READY)
        await supervisor["b"].until(lambda: supervisor["b"].state is State.BACKOFF)

        with anyio.fail_after(10):
            await supervisor.remove("a")
            await supervisor.remove("b")
            await supervisor.wait()


async def test_two_removals_of_one_server_at_once_are_one(
    make_spec: MakeSpec, directories: Directories
) -> None:
    async with Supervisor(make_spec("--term-delay", "0.2"), directories=directories) as supervisor:
        await ready(supervisor)
        results = await asyncio.gather(
            supervisor.remove("fake"), supervisor.remove("fake"), return_exceptions=True
        )
        assert [type(result) for result in results] == [type(None), KeyError]


async def test_a_removal_whose_caller_is_cancelled_goes_to_its_end(
    make_spec: MakeSpec, directories: Directories
) -> None:
    async with Supervisor(make_spec("--term-delay", "0.3"), directories=directories) as supervisor:
        await ready(supervisor)
        server = supervisor["fake"]
        task = asyncio.create_task(supervisor.remove("fake"))
        await server.until(lambda: server.state is State.STOPPING)
        task.cancel()

        with pytest.raises(asyncio.CancelledError):
            await task

        assert "fake" in supervisor.servers
        await supervisor.add(make_spec(name="fake"))  # comes after it


async def test_a_server_cannot_be_started_while_it_is_removed(
    make_spec: MakeSpec, directories: Directories
) -> None:
    async with Supervisor(make_spec("--term-delay", "0.3"), directories=directories) as supervisor:
        await ready(supervisor)
        server = supervisor["fake"]
        removal = asyncio.create_task(supervisor.remove("fake"))
        await server.until(lambda: server.state is State.STOPPING)

        with pytest.raises(ServerError):
            await server.start()

        await removal
        assert len(supervisor) == 0


# -- reload --------------------------------------------------------------------------------------


async def test_a_reload_restarts_only_what_has_changed(make_spec: MakeSpec, directories: Directories) -> None:
    same, web, gone = (make_spec(name=name) for name in ("same", "web", "gone"))
    events: list[Event] = []

    async with Supervisor([same, web, gone], directories=directories) as supervisor:
        supervisor.listen(events.append)
        await ready(supervisor)
        before, server = pids(supervisor), supervisor["web"]
        wanted = [make_spec(name="new"), replace(web, env={"STAGE": "b"}, title="Site"), same]
        preview = supervisor.changes(wanted)
        assert pids(supervisor) == before
        changes = await supervisor.reload(wanted)
        assert preview == changes
        await ready(supervisor)
        after = pids(supervisor)

    assert changes == Changes(
        added=("new",),
        removed=("gone",),
        restarted=("web",),
        unchanged=("same",),
        changed={"web": (Change("title", '""', "Site"), Change("env.STAGE", None, "b"))},
    )
    assert changes
    assert list(after) == ["new", "web", "same"]
    assert after["same"] == before["same"]
    assert after["web"] != before["web"]
    assert supervisor["web"] is server
    assert server.generation == 2
    assert sorted(notices(events)) == ["gone server_removed", "new server_added", "web server_changed"]
    assert "gone stopped" in story(events)


async def test_a_reload_of_the_same_changes_nothing(
    configuration: Configuration, directories: Directories
) -> None:
    async with Supervisor(configuration, directories=directories) as supervisor:
        await ready(supervisor)
        before = pids(supervisor)
        assert configuration.path is not None
        changes = await supervisor.reload(load(configuration.path))
        assert not changes
        assert changes.unchanged == ("first",)
        assert pids(supervisor) == before


async def test_a_changed_server_at_rest_just_takes_what_is_new(
    make_spec: MakeSpec, directories: Directories
) -> None:
    spec = make_spec(autostart=False)

    async with Supervisor(spec, directories=directories) as supervisor:
        changes = await supervisor.reload(replace(spec, title="Other", plugins=(announced(),)))
        assert (changes.restarted, list(changes.changed)) == ((), ["fake"])
        assert supervisor["fake"].state is State.STOPPED
        assert supervisor["fake"].spec.title == "Other"
        await supervisor.start()
        await ready(supervisor)


async def test_a_failed_server_is_started_again_when_it_has_changed_and_those_that_waited_for_it(
    make_spec: MakeSpec, directories: Directories
) -> None:
    db = make_spec("--exit-after", "0", name="db", restart=NO_RETRY)
    web = make_spec(name="web", needs=("db",))

    async with Supervisor([db, web], directories=directories) as supervisor:
        await supervisor["web"].until(lambda: supervisor["web"].state is State.FAILED)
        changes = await supervisor.reload([replace(db, command=make_spec().command), web])
        assert (changes.restarted, changes.unchanged) == (("db",), ("web",))
        await ready(supervisor)
        assert supervisor["web"].state is State.RUNNING


async def test_a_wrong_configuration_changes_nothing(make_spec: MakeSpec, directories: Directories) -> None:
    specs = [make_spec(name="db"), make_spec(name="web", needs=("db",))]

    async with Supervisor(specs, directories=directories) as supervisor:
        await ready(supervisor)
        before = pids(supervisor)

        for wrong in ([specs[1]], [specs[0], specs[0]], [replace(specs[0], needs=("web",)), specs[1]]):
            with pytest.raises(InvalidConfiguration):
                await supervisor.reload(wrong)

            with pytest.raises(InvalidConfiguration):
                supervisor.changes(wrong)

        assert pids(supervisor) == before
        assert list(supervisor) == ["db", "web"]


async def test_changed_servers_stop_in_order_and_start_in_order(
    make_spec: MakeSpec, directories: Directories
) -> None:
    db, web = make_spec(name="db"), make_spec("--term-delay", "0.2", name="web", needs=("db",))
    events: list[Event] = []

    async with Supervisor([db, web], directories=directories) as supervisor:
        await ready(supervisor)
        supervisor.listen(events.append)
        await supervisor.reload([replace(db, title="A"), replace(web, title="B")])
        await ready(supervisor)

    told = story(events)
    assert told.index("web stopped") < told.index("db stopping")
    assert told.index("db running") < told.index("web waiting_ready")


async def test_a_dependent_that_has_not_changed_follows_as_its_needs_say(
    make_spec: MakeSpec, directories: Directories
) -> None:
    db = make_spec(name="db")
    keeps = make_spec(name="keeps", needs=("db",))
    follows = make_spec(name="follows", needs=(Need("db", on_restart=OnRestart.RESTART),))

    async with Supervisor([db, keeps, follows], directories=directories) as supervisor:
        await ready(supervisor)
        changes = await supervisor.reload([replace(db, title="A"), keeps, follows])
        assert changes.restarted == ("db",)

        with anyio.fail_after(20):
            await supervisor["follows"].until(lambda: supervisor["follows"].generation == 2)

        await ready(supervisor)
        assert [server.generation for server in supervisor.servers.values()] == [2, 1, 2]


async def test_what_plugins_published_goes_with_them(make_spec: MakeSpec, directories: Directories) -> None:
    spec = make_spec(plugins=(announced(), PluginSpec("publishes", instance=Publishes())))

    async with Supervisor(spec, directories=directories) as supervisor:
        await ready(supervisor)
        assert supervisor["fake"].child_env({}) == {"PUBLISHED": "yes"}
        await supervisor.reload(make_spec())
        await ready(supervisor)
        assert supervisor["fake"].child_env({}) == {}


@dataclass(eq=False)
class Publishes:
    """Publishes a variable."""

    @hookimpl
    async def pre_spawn(self, server: ServerView) -> None:
        server.publish("PUBLISHED", "yes")


async def test_needs_may_change(make_spec: MakeSpec, directories: Directories) -> None:
    one, two, web = make_spec(name="one"), make_spec(name="two"), make_spec(name="web", needs=("one",))

    async with Supervisor([one, web], directories=directories) as supervisor:
        await ready(supervisor)
        changes = await supervisor.reload([two, replace(web, needs=("two",))])
        assert (changes.added, changes.removed, changes.restarted) == (("two",), ("one",), ("web",))
        assert [str(change) for change in changes.changed["web"]] == [
            "needs: [one (ready, keep)] -> [two (ready, keep)]"
        ]
        await ready(supervisor)
        assert list(supervisor["web"].needs) == ["two"]


async def test_servers_that_a_program_added_stay_unless_the_configuration_takes_their_name(
    make_spec: MakeSpec, directories: Directories
) -> None:
    base, added = make_spec(name="base"), make_spec(name="added", needs=("base",))

    async with Supervisor(base, directories=directories) as supervisor:
        await supervisor.add(added)
        await ready(supervisor)
        before = pids(supervisor)
        changes = await supervisor.reload([base, make_spec(name="new")])
        assert (changes.unchanged, changes.removed) == (("base", "added"), ())
        assert pids(supervisor)["added"] == before["added"]

        with pytest.raises(InvalidConfiguration, match='there is no server "base"'):
            await supervisor.reload([make_spec(name="new")])  # the added one needs it

        await supervisor.reload([base, added])  # now it is the configuration's
        assert pids(supervisor)["added"] == before["added"]
        assert (await supervisor.reload([base])).removed == ("added",)


async def test_templates_are_those_of_the_last_configuration(
    configuration: Configuration, directories: Directories
) -> None:
    assert configuration.path is not None
    text = configuration.path.read_text()

    async with Supervisor(configuration, directories=directories) as supervisor:
        configuration.path.write_text(
            text.replace("[templates.fake]", "[templates.other]").replace('"fake"', '"other"')
        )
        await supervisor.reload(load(configuration.path))
        await supervisor.add("other", "second", word="x")

        with pytest.raises(InvalidConfiguration, match="there are: other"):
            await supervisor.add("fake", "third", word="x")


async def test_wait_does_not_end_while_a_reload_has_stopped_all(
    make_spec: MakeSpec, directories: Directories
) -> None:
    spec = make_spec("--term-delay", "0.1")

    async with Supervisor(spec, directories=directories) as supervisor:
        await ready(supervisor)
        waiting = asyncio.create_task(supervisor.wait())
        await supervisor.reload(replace(spec, title="Other"))
        await ready(supervisor)
        assert not waiting.done()
        await supervisor.stop()

        with anyio.fail_after(5):
            await waiting


async def test_a_start_while_a_reload_stops_it_does_not_run_what_was(
    make_spec: MakeSpec, directories: Directories
) -> None:
    spec = make_spec("--term-delay", "0.3")

    async with Supervisor(spec, directories=directories) as supervisor:
        await ready(supervisor)
        server = supervisor["fake"]
        reload = asyncio.create_task(supervisor.reload(replace(spec, title="Other", env={"A": "new"})))
        await server.until(lambda: server.state is State.STOPPING)
        server.ask_up()
        await reload
        await ready(supervisor)
        assert psutil.Process(server.pid).environ()["A"] == "new"


async def test_reloads_that_come_together_follow_one_another(
    make_spec: MakeSpec, directories: Directories
) -> None:
    spec = make_spec()

    async with Supervisor(spec, directories=directories) as supervisor:
        await ready(supervisor)
        wanted = [replace(spec, title=str(number)) for number in range(5)]
        await asyncio.gather(*(supervisor.reload(one) for one in wanted))
        await ready(supervisor)
        assert supervisor["fake"].spec.title == "4"


async def test_leaving_the_block_in_the_middle_of_a_reload_leaves_nothing(
    make_spec: MakeSpec, directories: Directories, marked: Callable[[str], list[int]], tmp_path: Path
) -> None:
    mark = str(tmp_path / "mark")
    spec = make_spec("--term-delay", "0.3", "--first", mark)

    async with Supervisor(spec, directories=directories) as supervisor:
        await ready(supervisor)
        reload = asyncio.create_task(supervisor.reload([replace(spec, title="Other"), make_spec(name="new")]))
        await supervisor["fake"].until(lambda: supervisor["fake"].state is State.STOPPING)

    with pytest.raises(ServerError, match="about to end"):
        await reload

    assert list(supervisor) == ["fake"]
    assert marked(mark) == []


async def test_what_cannot_be_stopped_keeps_its_place_and_all_comes_back(
    make_spec: MakeSpec, directories: Directories, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing here outlives SIGKILL, so a server is made to say so."""
    stuck, other = make_spec(name="stuck"), make_spec(name="other")

    async with Supervisor([stuck, other], directories=directories) as supervisor:
        await ready(supervisor)
        error = ForceKillTimeout("processes outlive SIGKILL: 1", server="stuck")

        async def stop(*, force: bool = False) -> None:
            raise error

        server = supervisor["stuck"]
        monkeypatch.setattr(server, "stop", stop)

        with pytest.raises(ForceKillTimeout):
            await supervisor.reload([replace(other, title="Other")])

        await ready(supervisor)
        assert supervisor["other"].spec.title == ""
        assert supervisor["other"].generation == 2

        with pytest.raises(ForceKillTimeout):
            await supervisor.remove("stuck")

        monkeypatch.undo()
        await server.restart()  # it is still attended to
        await ready(supervisor)


async def test_a_task_that_has_completed_runs_again_when_it_has_changed(directories: Directories) -> None:
    task = ServerSpec(name="task", kind=Kind.TASK, command=("true",), port=None)

    async with Supervisor(task, directories=directories) as supervisor:
        with anyio.fail_after(10):
            await supervisor["task"].wait_completed()
            assert (await supervisor.reload(task)).unchanged == ("task",)
            assert (await supervisor.reload(replace(task, command=("sh", "-c", "exit 0")))).restarted == (
                "task",
            )
            await supervisor["task"].wait_completed()

        assert supervisor["task"].generation == 2


# -- what has changed ----------------------------------------------------------------------------


def test_the_keys_that_differ_are_told_with_their_values() -> None:
    old = ServerSpec(name="a", command=("x",), cwd=Path("/a"), port=0, env={"A": "1"}, startup_timeout=30.0)
    new = ServerSpec(
        name="a",
        command=("x", "y"),
        cwd=Path("/a"),
        port=None,
        env={"A": "2", "B": "3"},
        startup_timeout=2.5,
        guard=True,
        restart=replace(old.restart, max_restarts=9),
        plugins=(PluginSpec("p", {"words": ["a"], "n": 1}),),
    )
    assert [str(change) for change in differences(old, new)] == [
        "command: [x] -> [x, y]",
        "port: 0 -> false",
        "env.A: 1 -> 2",
        "startup_timeout: 30 s -> 2.5 s",
        "restart.max_restarts: 5 -> 9",
        "guard: false -> true",
        "plugins: [] -> [p]",
        "env.B: (none) -> 3",
        "plugins.p.words: (none) -> [a]",
        "plugins.p.n: (none) -> 1",
    ]


def test_secrets_are_masked_in_what_has_changed() -> None:
    def spec(secret: str) -> ServerSpec:
        return ServerSpec(
            name="a",
            command=("x", "--token", secret, f"--api-key={secret}", f"http://me:{secret}@db/"),
            cwd=Path(f"/{secret}"),
            secrets=frozenset([secret]),
            env={"API_KEY": secret, "AT": f"postgres://me:{secret}@db/x", "S": Secret(f"env:{secret[:3]}")},
            plugins=(PluginSpec("p", {"password": secret, "headers": {"Authorization": secret}}),),
        )

    changes = differences(spec("hunter2-one"), spec("zebra-two"))
    text = repr(changes) + "".join(map(str, changes))
    assert "hunter2" not in text
    assert "zebra" not in text
    assert [change.key for change in changes] == [
        "command",
        "cwd",
        "env.API_KEY",
        "env.AT",
        "env.S",
        "plugins.p.password",
        "plugins.p.headers",
    ]
    assert changes[0].before == "[x, --token, ********, --api-key=********, http://me:********@db/]"
    assert str(changes[4]) == "env.S: the secret env:hun -> the secret env:zeb"


# -- without a loop ------------------------------------------------------------------------------


def test_a_program_without_a_loop_adds_removes_and_reloads(
    configuration: Configuration, directories: Directories
) -> None:
    assert configuration.path is not None

    with serve(configuration.path, directories=directories, settings={"servers.first.title": "A"}) as servers:
        second = servers.add("fake", "second", word="two")
        second.wait_ready(20)
        servers["first"].wait_ready(20)
        assert list(servers) == list(servers.servers) == ["first", "second"]
        assert servers["second"] is second
        assert servers["first"].spec.title == "A"
        servers.remove("second")
        assert len(servers) == 1
        again = load(configuration.path, settings={"servers.first.title": "B"})
        assert servers.changes(again).restarted == ("first",)
        assert servers.reload(again).restarted == ("first",)
        servers.wait_ready(timeout=20)
        assert servers["first"].generation == 2

        with pytest.raises(KeyError):
            servers["second"]


def test_profiles_without_a_file_are_refused(make_spec: MakeSpec, directories: Directories) -> None:
    with (
        pytest.raises(ServerError, match="go with the path of a file"),
        serve(make_spec(), profiles=["ci"], directories=directories),
    ):
        pass
