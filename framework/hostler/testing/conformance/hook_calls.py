"""Calling the hooks of one plugin as the engine does, under the engine's deadlines, with plain values."""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import AsyncGenerator, Mapping
from typing import cast

from hostler.errors import ServerError
from hostler.model.launch import Launch
from hostler.model.spec import ServerSpec
from hostler.model.values import Endpoint, Report
from hostler.plugins.hook_calls import Caller, Outcome
from hostler.plugins.messages import fault_in, file_of, said
from hostler.plugins.registration import Implementation
from hostler.plugins.validation import advice_fault, launch_fault
from hostler.testing.conformance.findings import Findings, place_of
from hostler.testing.conformance.report_streams import Stream

# What is left of a hook or stream that swallows its cancellation, which is told already.
OWN_TASKS = frozenset({"Outcome.contain", "Stream._next"})
DEADLINES = {"pre_spawn": 3.0, "on_ready": 5.0, "on_crash": 5.0, "on_shutdown": 2.0}
"""Seconds. pre_spawn may take minutes (it installs things): here it is only seen to be cancellable."""

_CHECK_FORM = "write def check(self, spec, launch), and yield a sentence for each thing that is wrong"
_BLOCKED = 1.0
_SLOW_LINE = 0.5
_STREAMS = ("stdout", "stderr")
_LINES = (
    "",
    "listening on http://127.0.0.1:4096",
    "Listening on port 99999",
    '{"level":"info","port":4096}',
    "\x1b[32mready\x1b[0m \N{PARTY POPPER} \x00\ufffd",
    "a" * 8192,
    "http://" * 1000,
    "1" * 8192,
)


def _line_to_correct(error: BaseException, class_: type) -> str:
    """What to do about a slip of the program itself, which nobody has to catch; "" for another error."""
    if not isinstance(error, AttributeError | NameError | TypeError | SystemExit):
        return ""
    line, found, _ = fault_in(error, file_of(class_)).partition(": ")
    return f"correct {line}" if found and line.startswith("line ") else "correct it"


class HookCaller:
    """Calls the hooks of one plugin object and notes what is wrong."""

    def __init__(self, class_: type, hooks: Mapping[str, Implementation], findings: Findings) -> None:
        self._class = class_
        self._hooks = hooks
        self._findings = findings
        self._caller = Caller()

    async def pre_spawn(self, server: object, launch: Launch) -> bool:
        """Have the launch edited; False where the plugin refused, or was not done in time."""
        outcome = await self._call("pre_spawn", {"server": server, "launch": launch})
        if isinstance(outcome.error, ServerError):
            reason = outcome.error.message.splitlines()[0]
            self._note("pre_spawn", f"it refused to start anything here ({reason})")
        elif outcome.overran is not None and not outcome.swallowed:
            self._note("pre_spawn", f"it was at work for {outcome.overran:g} s, and was cancelled then")
        elif outcome.error is not None:
            self._broken(
                "pre_spawn",
                f"raises {said(outcome.error)}",
                _line_to_correct(outcome.error, self._class)
                or "what is wrong with the server or the machine is a ServerError of hostler, with a hint",
            )

        elif fault := launch_fault(launch):
            self._broken(
                "pre_spawn", fault.replace("left", "leaves"), "argv and env hold strings, cwd is a Path"
            )
            return False

        return outcome.error is None and outcome.overran is None

    def check(self, plugin: object, spec: ServerSpec, launch: Launch) -> None:
        """Ask what it tells `hostler check`, where it has something to tell."""
        check = getattr(plugin, "check", None)
        if not callable(check):
            return

        if inspect.iscoroutinefunction(check):
            self._broken("check", 'is "async def" and must be "def"', _CHECK_FORM)
            return

        try:
            told = [str(message) for message in check(spec, launch)]
        except ServerError:
            return  # which is told as well
        except Exception as error:  # noqa: BLE001 - told
            self._broken("check", f"raises {said(error)}", _CHECK_FORM)
            return

        if any(not message.strip() for message in told):
            self._broken("check", "tells an empty sentence", _CHECK_FORM)

    async def warm_up(self, launch: Launch) -> None:
        """Do what was to be done while the child starts."""
        for work in launch.warm_ups:
            try:
                await asyncio.to_thread(work)
            except Exception as error:  # noqa: BLE001 - told
                self._broken(
                    "pre_spawn", f"asks for a warm-up that raises {said(error)}", "see that it is there"
                )

    def parse_port(self, server: object) -> None:
        """Show it lines of all kinds, on both streams."""
        each = self._hooks.get("parse_port")
        if each is None:
            return
        offers = (
            {"server": server, "line": line, "stream": stream} for line in _LINES for stream in _STREAMS
        )
        next((None for offered in offers if not self._ask(each, offered)), None)  # one example is enough

    def _ask(self, each: Implementation, offered: Mapping[str, object]) -> bool:
        """Show it one line; whether all was well."""
        began = time.monotonic()
        what, mend = "", ""

        try:
            answer = each.function(**each.pick(offered))
        except Exception as error:  # noqa: BLE001 - told
            what, mend = f"raises {said(error):.200}", "return None for what it does not know"
        else:
            if answer is not None and not _is_endpoint(answer):
                what, mend = f"returns {answer!r}", "return an Endpoint with a port from 1 to 65535, or None"
            elif time.monotonic() - began > _SLOW_LINE:
                what = f"takes {time.monotonic() - began:.1f} s"
                mend = "it is called for every line on the event loop: mind patterns that backtrack"

        if what:
            self._broken("parse_port", f"{what} for the line {offered['line']!r:.60}", mend)

        return not what

    async def health_check(self, server: object, endpoint: Endpoint) -> None:
        """Open its stream, take what comes, cancel it as it waits, close it."""
        each = self._hooks.get("health_check")
        if each is None:
            return
        offered = {"server": server, "endpoint": endpoint}
        stream = cast("AsyncGenerator[Report, None]", each.function(**each.pick(offered)))
        await Stream(stream, place_of(self._class, "health_check"), self._findings).watch()

    async def tell(self, hook: str, **offered: object) -> None:
        """Call on_ready, on_crash or on_shutdown."""
        outcome = await self._call(hook, offered)
        if outcome.swallowed:
            return  # which is told already

        if outcome.overran is not None:
            self._broken(
                hook,
                f"takes longer than its deadline of {outcome.overran:g} s",
                "start what takes long with server.start_soon(...), or give it a timeout of its own",
            )
        elif outcome.error is not None:
            what = f"raises {said(outcome.error)} with plain values"
            mend = _line_to_correct(outcome.error, self._class)
            self._broken(hook, what, mend or "catch what may go wrong: nobody else can")
        elif hook == "on_crash" and (fault := advice_fault(outcome.value)):
            self._broken(hook, fault.replace("returned", "returns"), "return Advice(...) or None")

    async def _call(self, hook: str, offered: Mapping[str, object]) -> Outcome:
        outcome = Outcome()
        each = self._hooks.get(hook)
        if each is None:
            return outcome

        await self._caller.run(each.function, each.pick(offered), DEADLINES[hook], outcome)

        if outcome.swallowed:
            self._broken(
                hook,
                "swallows its cancellation and goes on",
                "let asyncio.CancelledError through: no bare except",
            )

        if outcome.held > _BLOCKED:
            self._broken(
                hook,
                f"keeps the event loop to itself for {outcome.held:.1f} s",
                "await instead, or do it in a thread: await anyio.to_thread.run_sync(...)",
            )

        return outcome

    def _broken(self, hook: str, what: str, mend: str) -> None:
        self._findings.broken(place_of(self._class, hook), what, mend)

    def _note(self, hook: str, what: str) -> None:
        note = f"{place_of(self._class, hook)}: what comes after pre_spawn, since {what}"
        if note not in self._findings.notes:
            self._findings.notes.append(note)


def _is_endpoint(answer: object) -> bool:
    return isinstance(answer, Endpoint) and isinstance(answer.port, int) and 1 <= answer.port <= 65535


def first_of(hooks: Mapping[str, tuple[Implementation, ...]]) -> dict[str, Implementation]:
    """The implementations of the only plugin there is, by hook."""
    return {hook: ones[0] for hook, ones in hooks.items() if ones and inspect.isroutine(ones[0].function)}
