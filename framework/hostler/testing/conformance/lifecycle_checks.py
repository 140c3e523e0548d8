"""The behaviour of a plugin: one of two objects lives through two runs, and the other must not notice."""

from __future__ import annotations

import asyncio
import tempfile
import threading
from collections.abc import Mapping
from pathlib import Path

from hostler.model.launch import Launch
from hostler.model.states import State
from hostler.plugins.messages import said
from hostler.plugins.options import construct
from hostler.plugins.registration import in_order
from hostler.testing.conformance.findings import Findings, place_of
from hostler.testing.conformance.harness import IMPOSSIBLE_PID, Stage, let_go, outline
from hostler.testing.conformance.hook_calls import OWN_TASKS, Caster, first_of
from hostler.testing.conformance.snapshot import (
    changed,
    context,
    fields_of,
    modules_of,
    shared_by_all,
    shared_containers,
)

_LINGER = 1.0
_LAST = 2.0  # seconds for a loop to end that has nothing to do any more
_OWN_STATE = "keep it in a field of the object: field(init=False, default_factory=...)"


def check_life(class_: type, options: Mapping[str, object], findings: Findings) -> None:
    """Call every hook of one object, as the engine would, and look at everything else before and after."""
    (still, _), (lively, _) = construct(class_, options), construct(class_, options)
    assert still is not None
    assert lively is not None

    for name in shared_containers(still, lively):
        findings.broken(place_of(class_, name), "is one and the same container in two plugins", _OWN_STATE)

    modules = modules_of(class_)  # one that is imported later, on demand, changes nothing by that
    state, common, host = fields_of(still), shared_by_all(class_, modules), context()

    with tempfile.TemporaryDirectory(prefix="hostler-contract-") as folder:
        _apart(Life(class_, lively, Path(folder).resolve(), findings))

    for name in changed(state, fields_of(still)):
        findings.broken(place_of(class_, name), "is changed by the life of another server", _OWN_STATE)

    for name in changed(common, shared_by_all(class_, modules)):
        findings.broken(place_of(class_), f"changes {name} as it lives, which all servers share", _OWN_STATE)

    for name in changed(host, context()):
        mend = "edit the launch: launch.env, launch.cwd"
        findings.broken(place_of(class_), f"changes {name} of the host program", mend)


def _apart(life: Life) -> None:
    """On a thread of its own, since the caller may have an event loop that runs."""
    failures: list[BaseException] = []
    led = threading.Event()

    async def lead() -> None:
        try:
            await life.lead()
        except BaseException as error:  # noqa: BLE001 - raised where it is waited for
            failures.append(error)
        finally:
            led.set()

    # What swallows its cancellation keeps its loop from ending: the thread is then left to itself.
    thread = threading.Thread(target=lambda: asyncio.run(lead()), name="plugin contract", daemon=True)
    thread.start()
    led.wait()
    thread.join(_LAST)

    if failures:
        raise failures[0]


class Life:
    """Two runs of one server, as the engine would lead it: a crash ends the first, a stop the second."""

    def __init__(self, class_: type, plugin: object, folder: Path, findings: Findings) -> None:
        self._class = class_
        self._findings = findings
        self._plugin = plugin
        self._stage = Stage(folder, class_.__name__.lower())
        hooks = first_of(in_order({self._stage.plugin: plugin}))
        self._caster = Caster(class_, hooks, findings)
        findings.deprecated += [str(one) for each in hooks.values() for one in each.deprecations]

    async def lead(self) -> None:
        """Lead it, and see what is left of it."""
        outlines: list[Mapping[str, object]] = []
        self._caster.check(self._plugin, self._stage.spec, self._stage.launch(1))

        for generation in (1, 2):
            launch, view = self._stage.launch(generation), self._stage.view(generation)
            done = await self._caster.pre_spawn(view, launch)

            if done:
                outlines.append(outline(launch))
                await self._run(launch, generation)

            await self._let_go(launch)

        if len(outlines) > 1:
            self._compare(*outlines)

        await self._see_what_is_left()

    async def _run(self, launch: Launch, generation: int) -> None:
        caster, view = self._caster, self._stage.view(generation)
        view.facts, view.pid, view.state = launch.facts, IMPOSSIBLE_PID, State.WAITING_READY
        await caster.warm_up(launch)
        caster.parse_port(view)
        view.endpoint = self._stage.endpoint
        await caster.health_check(view, self._stage.endpoint)
        view.state = State.RUNNING
        await caster.tell("on_ready", server=view, endpoint=view.endpoint)

        if generation == 1:
            view.state, view.pid, view.endpoint = State.CRASHED, None, None
            await caster.tell("on_crash", server=view, exit=self._stage.exit(generation))
        else:
            view.state = State.STOPPING
            await caster.tell("on_shutdown", server=view, reason="stop")

    async def _let_go(self, launch: Launch) -> None:
        try:
            await let_go(launch)
        except Exception as error:  # noqa: BLE001 - told
            self._broken(
                f"leaves something in the launch that raises {said(error)} when the run ends",
                "a sink's close and what launch.defer was given must work without a spawn too",
            )

    def _compare(self, first: Mapping[str, object], second: Mapping[str, object]) -> None:
        for what in changed(first, second):
            self._broken(
                f"edits {what} differently in the second run: {first[what]!r}, then {second[what]!r}",
                "make all edits anew for every spawn, from the options and the launch alone",
            )

    async def _see_what_is_left(self) -> None:
        tasks = asyncio.all_tasks() - {asyncio.current_task()}

        if tasks:
            _, tasks = await asyncio.wait(tasks, timeout=_LINGER)

        for name in sorted({getattr(task.get_coro(), "__qualname__", "") for task in tasks} - OWN_TASKS):
            self._findings.broken(
                place_of(self._class),
                f"leaves a task of {name} behind",
                "end it in the hook that began it, or use server.start_soon(...), which ends with the run",
            )

    def _broken(self, what: str, mend: str) -> None:
        self._findings.broken(place_of(self._class, "pre_spawn"), what, mend)
