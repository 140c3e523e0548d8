"""Servers that come, go and change while their supervisor runs."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import anyio
import psutil
import pytest
from hostler import (
    Change,
    Changes,
    Configuration,
    Directories,
    Event,
    ForceKillTimeout,
    InvalidConfiguration,
    Kind,
    Need,
    OnRestart,
    PluginSpec,
    Server,
    ServerError,
    ServerSpec,
    ServerView,
    State,
    Supervisor,
    hookimpl,
    load,
)
from reloading import configuration, notices, pids, ready, story
from specs import QUICK, MakeSpec, announced

__all__ = ["configuration"]
NO_RETRY = replace(QUICK, start_retries=0)


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
        assert list(supervisor["web"]._engine.needs) == ["two"]


async def test_what_is_neither_a_spec_nor_a_template_is_not_added(
    make_spec: MakeSpec, directories: Directories, tmp_path: Path
) -> None:
    file = tmp_path / "more.toml"
    file.write_text('[servers.extra]\ncommand = ["true"]\n')
    async with Supervisor(make_spec(name="base"), directories=directories) as supervisor:
        with pytest.raises(TypeError, match="expected the name of a template or a ServerSpec, got PosixPath"):
            await supervisor.add(file)  # type: ignore[arg-type]
        assert list(supervisor) == ["base"]


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


async def stopping(server: Server, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
    """That work, as soon as it stops this server."""
    task = asyncio.create_task(work)
    await server.until(lambda: server.state is State.STOPPING)
    return task


async def test_a_start_while_a_reload_stops_it_does_not_run_what_was(
    make_spec: MakeSpec, directories: Directories
) -> None:
    spec = make_spec("--term-delay", "0.3")
    async with Supervisor(spec, directories=directories) as supervisor:
        await ready(supervisor)
        server = supervisor["fake"]
        reload = await stopping(server, supervisor.reload(replace(spec, title="Other", env={"A": "new"})))
        server._engine.ask_up()
        await reload
        await ready(supervisor)
        assert psutil.Process(server.pid).environ()["A"] == "new"


async def test_a_stop_while_a_reload_stops_it_is_the_last_command(
    make_spec: MakeSpec, directories: Directories
) -> None:
    spec = make_spec("--term-delay", "0.3")
    async with Supervisor(spec, directories=directories) as supervisor:
        await ready(supervisor)
        server = supervisor["fake"]
        reload = await stopping(server, supervisor.reload(replace(spec, title="Other")))
        await server.stop()
        await reload
        assert (server.state, server.spec.title, server.generation) == (State.STOPPED, "Other", 1)
        assert server.is_settled()


async def test_what_is_started_while_a_reload_stops_others_runs_after_it_as_it_is_then(
    make_spec: MakeSpec, directories: Directories
) -> None:
    slow, late = make_spec("--term-delay", "0.5", name="slow"), make_spec(name="late", autostart=False)
    async with Supervisor([slow, late], directories=directories) as supervisor:
        await supervisor["slow"].wait_ready()
        changed = [replace(spec, env={"A": "new"}) for spec in (slow, late)]
        reload = await stopping(supervisor["slow"], supervisor.reload(changed))
        await supervisor["late"].start()
        assert not reload.done()
        await reload
        await ready(supervisor)
        assert psutil.Process(supervisor["late"].pid).environ()["A"] == "new"


async def test_a_start_in_a_chain_that_a_reload_stops_holds_it_up_for_no_longer_than_its_stop(
    make_spec: MakeSpec, directories: Directories
) -> None:
    db, web = make_spec(name="db"), make_spec(name="web", needs=("db",))
    app = make_spec("--term-delay", "0.3", name="app", needs=("web",))
    async with Supervisor([db, web, app], directories=directories) as supervisor:
        await ready(supervisor)
        changed = [replace(spec, env={"A": "new"}) for spec in (db, web, app)]
        for work in (lambda: supervisor.reload(changed), supervisor.stop):
            task = await stopping(supervisor["app"], work())
            supervisor["app"]._engine.ask_up()
            with anyio.fail_after(20):
                await task
            await ready(supervisor)
        assert {psutil.Process(pid).environ()["A"] for pid in pids(supervisor).values()} == {"new"}


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


async def test_what_cannot_be_stopped_keeps_its_place_and_all_comes_back_that_nobody_has_stopped(
    make_spec: MakeSpec, directories: Directories, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing here outlives SIGKILL, so a server is made to say so."""
    stuck, other = make_spec(name="stuck"), make_spec(name="other")
    unwanted = make_spec("--term-delay", "0.3", name="unwanted")
    async with Supervisor([stuck, other, unwanted], directories=directories) as supervisor:
        await ready(supervisor)
        error = ForceKillTimeout("processes outlive SIGKILL: 1", server="stuck")

        async def take_down(**_: bool) -> None:
            raise error

        server = supervisor["stuck"]
        monkeypatch.setattr(server._engine, "take_down", take_down)
        changed = [replace(other, title="Other"), replace(unwanted, title="Other")]
        reload = await stopping(supervisor["unwanted"], supervisor.reload(changed))
        await supervisor.stop("unwanted")
        with pytest.raises(ForceKillTimeout):
            await reload
        await supervisor.wait_ready("stuck", "other")
        assert supervisor["unwanted"].state is State.STOPPED
        assert supervisor["other"].spec.title == ""
        assert supervisor["other"].generation == 2
        with pytest.raises(ForceKillTimeout):
            await supervisor.remove("stuck")
        monkeypatch.undo()
        await server.restart()  # it is still attended to
        await server.wait_ready()


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
