"""The behaviour of a plugin: one of two objects goes through two runs, and the other must not change."""

from __future__ import annotations

import asyncio
import dataclasses
import os
import sys
import tempfile
import threading
from collections import deque
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import ModuleType

from hostler.model.launch import Launch
from hostler.model.states import State
from hostler.plugins.messages import said
from hostler.plugins.options import construct
from hostler.plugins.registration import Implementation, in_order
from hostler.testing.conformance.findings import Findings, place_of
from hostler.testing.conformance.harness import (
    IMPOSSIBLE_PID,
    SECRETS,
    ServerHarness,
    fault_of_sink,
    outline,
    release,
    texts,
)
from hostler.testing.conformance.hook_calls import OWN_TASKS, HookCaller, first_of

_CONTAINERS = (list, dict, set, bytearray, deque)
_LINGER = 1.0
_LAST_RUN = 2
_LAST = 2.0  # seconds for a loop to end that has nothing to do any more
_OWN_STATE = "keep it in a field of the object: field(init=False, default_factory=...)"


def check_life(class_: type, options: Mapping[str, object], findings: Findings) -> None:
    """Call every hook of one object, as the engine would, and look at everything else before and after."""
    (still, _), (lively, _) = construct(class_, options), construct(class_, options)
    assert still is not None
    assert lively is not None

    for name in _shared_containers(still, lively):
        findings.broken(place_of(class_, name), "is one and the same container in two plugins", _OWN_STATE)

    modules = _modules_of(class_)  # one that is imported later, on demand, changes nothing by that
    state, common, host = _fields_of(still), _shared_by_all(class_, modules), _host_state()

    with tempfile.TemporaryDirectory(prefix="hostler-contract-") as folder:
        new = [plugin for plugin, _ in (construct(class_, options), construct(class_, options))]
        _run_in_thread(Life(class_, lively, new, Path(folder).resolve(), findings))

    for name in _changed(state, _fields_of(still)):
        findings.broken(place_of(class_, name), "is changed by the life of another server", _OWN_STATE)

    for name in _changed(common, _shared_by_all(class_, modules)):
        findings.broken(place_of(class_), f"changes {name} as it lives, which all servers share", _OWN_STATE)

    for name in _changed(host, _host_state()):
        mend = "edit the launch: launch.env, launch.cwd"
        findings.broken(place_of(class_), f"changes {name} of the host program", mend)


def _run_in_thread(life: Life) -> None:
    """Run it on a thread of its own, since the caller may have a running event loop."""
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
    """Two runs of one server, as the engine would run it: a crash ends the first, a stop the second.

    Two `new` objects edit the launch of the second run, too: what both write alike is neither chance nor
    the time, so that the plugin that has lived must write the same.
    """

    def __init__(
        self, class_: type, plugin: object, new: Sequence[object], folder: Path, findings: Findings
    ) -> None:
        self._class = class_
        self._findings = findings
        self._plugin = plugin
        self._new = new
        self._harness = ServerHarness(folder, class_.__name__.lower())
        hooks = self._hooks_of(plugin)
        self._hooks = HookCaller(class_, hooks, findings)
        findings.deprecated.extend(str(one) for each in hooks.values() for one in each.deprecations)

    def _hooks_of(self, plugin: object) -> dict[str, Implementation]:
        return first_of(in_order({self._harness.plugin: plugin}))

    async def lead(self) -> None:
        """Lead it, and see what is left of it."""
        outlines: list[Mapping[str, object]] = []
        edits: dict[str, str] = {}
        self._hooks.check(self._plugin, self._harness.spec, self._harness.launch(1))

        before = await self._edits_of_new(self._new[0])
        for generation in (1, 2):
            launch, view = self._harness.launch(generation), self._harness.view(generation)
            done = await self._hooks.pre_spawn(view, launch)
            self._check_sinks(launch)
            if done:
                outlines.append(outline(launch))
                edits = texts(launch)
                await self._run(launch, generation)
            await self._release(launch)

        if len(outlines) > 1:
            self._compare(*outlines)
            self._compare_with_new(edits, before, await self._edits_of_new(self._new[1]))

        await self._see_what_is_left()

    async def _run(self, launch: Launch, generation: int) -> None:
        caller, endpoint = self._hooks, self._harness.endpoint
        view = self._harness.view(generation, launch.facts)
        view.enter(State.WAITING_READY, IMPOSSIBLE_PID)
        await caller.warm_up(launch)
        caller.parse_port(view)
        view.enter(State.WAITING_READY, IMPOSSIBLE_PID, endpoint)
        await caller.health_check(view, endpoint)
        view.enter(State.RUNNING, IMPOSSIBLE_PID, endpoint)
        await caller.tell("on_ready", server=view, endpoint=endpoint)

        if generation == 1:
            view.enter(State.CRASHED)
            await caller.tell("on_crash", server=view, exit=self._harness.exit(generation))
        else:
            view.enter(State.STOPPING, IMPOSSIBLE_PID, endpoint)
            await caller.tell("on_shutdown", server=view, reason="stop")

    def _check_sinks(self, launch: Launch) -> None:
        """Name those that could not be called, and leave them out of what follows."""
        faults = [(sink, fault_of_sink(sink)) for sink in launch.sinks]
        launch.sinks = [sink for sink, fault in faults if not fault]
        for sink, fault in faults:
            if fault and launch.generation == 1:
                self._broken(
                    f"adds the sink {type(sink).__name__}, which {fault}",
                    "write def write(self, stream, data) and def close(self); data is bytes",
                )

    async def _release(self, launch: Launch) -> None:
        try:
            await release(launch)
        except Exception as error:  # noqa: BLE001 - told
            self._broken(
                f"leaves something in the launch that raises {said(error)} when the run ends",
                "a sink's close and what launch.defer was given must work without a spawn too",
            )

    def _compare(self, first: Mapping[str, object], second: Mapping[str, object]) -> None:
        for what in _changed(first, second):
            self._broken(
                f"edits {what} differently in the second run: {first[what]!r}, then {second[what]!r}",
                "make all edits anew for every spawn, from the options and the launch alone",
            )

    async def _edits_of_new(self, plugin: object) -> dict[str, str]:
        """What an object writes that has not lived; what is wrong with that is found with the other one."""
        launch, view = self._harness.launch(_LAST_RUN), self._harness.view(_LAST_RUN)
        caller = HookCaller(self._class, self._hooks_of(plugin), Findings())
        done = await caller.pre_spawn(view, launch)
        found = texts(launch) if done else {}
        with suppress(Exception):
            await release(launch)
        return found

    def _compare_with_new(
        self, edits: Mapping[str, str], before: Mapping[str, str], after: Mapping[str, str]
    ) -> None:
        for what, text in edits.items():
            if what in before and before[what] == after.get(what) != text:
                secret = what.startswith(SECRETS)
                shown = "" if secret else f": {text!r}, where a new object writes {after[what]!r}"
                self._broken(
                    f"edits {what} differently once it has lived through a run{shown}",
                    "make all edits anew for every spawn, from the options and the launch alone: "
                    'launch.argv += ["--port", str(launch.port)]; what counts the runs is launch.generation',
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


# -- what a plugin can change by mistake -----------------------------------------------------------


def _frozen(value: object, depth: int = 6) -> object:
    """A value that is equal later only if nothing in it was changed; what is opaque counts by identity."""
    match value:
        case None | bool() | int() | float() | str() | bytes() | Path():
            return value
        case bytearray():
            return bytes(value)
        case Mapping() if depth:
            return ("mapping", *((_frozen(key), _frozen(item, depth - 1)) for key, item in value.items()))
        case list() | tuple() | deque() if depth:
            return (type(value).__name__, *(_frozen(item, depth - 1) for item in value))
        case set() | frozenset():
            return frozenset(_frozen(item, 0) for item in value)
        case _:
            return ("object", type(value).__qualname__, id(value))


def _fields_of(plugin: object) -> dict[str, object]:
    """The state of one plugin object."""
    return {name: _frozen(value) for name, value in _state(plugin).items()}


def _modules_of(class_: type) -> dict[str, ModuleType]:
    """The modules of its package, as far as they are imported by now."""
    package = class_.__module__.partition(".")[0]
    inside = (class_.__module__, f"{class_.__module__}.", f"{package}.")
    return {
        name: module
        for name, module in list(sys.modules.items())
        if (name == inside[0] or name.startswith(inside[1:])) and isinstance(module, ModuleType)
    }


def _is_inner(name: str) -> bool:
    return name.startswith("__") and name.endswith("__")


def _shared_by_all(class_: type, modules: Mapping[str, ModuleType]) -> dict[str, object]:
    """What all objects of a class share: attributes of the class, containers in these modules."""
    found: dict[str, object] = {}

    for base in class_.__mro__:
        if base.__module__ != "builtins":
            attributes = {name: _frozen(value) for name, value in vars(base).items() if not _is_inner(name)}
            found |= {f"{base.__qualname__}.{name}": value for name, value in attributes.items()}

    for name, module in modules.items():
        for attribute, value in vars(module).items():
            if isinstance(value, _CONTAINERS) and not _is_inner(attribute):
                found[f"{name}.{attribute}"] = _frozen(value)

    return found


def _host_state() -> dict[str, object]:
    """What the host program owns."""
    return {"os.environ": _frozen(dict(os.environ)), "the working directory": os.getcwd()}  # noqa: PTH109 - as text


def _changed(before: Mapping[str, object], after: Mapping[str, object]) -> list[str]:
    """The names whose values differ; one that is new counts too."""
    missing = object()
    return sorted(name for name in {*before, *after} if before.get(name, missing) != after.get(name, missing))


def _shared_containers(one: object, other: object) -> list[str]:
    """The fields in which two objects hold one and the same container."""
    pairs = _state(other)
    return [
        name
        for name, value in _state(one).items()
        if isinstance(value, _CONTAINERS) and pairs.get(name) is value
    ]


def _state(plugin: object) -> dict[str, object]:
    """Everything that an object holds, with slots or without."""
    slots = {field.name: getattr(plugin, field.name, None) for field in dataclasses.fields(plugin)}  # type: ignore[arg-type]
    return slots | getattr(plugin, "__dict__", {})
